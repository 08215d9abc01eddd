// Conversations in IndexedDB, and the small things that the browser keeps for this page. Nothing of it leaves the browser.
import type { Conversation } from "./conversation";

const NAME = "mistral-api";
const STORE = "conversations";

let opened: Promise<IDBDatabase> | undefined;

function database(): Promise<IDBDatabase> {
  opened ??= new Promise((resolve, reject) => {
    const request = indexedDB.open(NAME, 1);
    request.onupgradeneeded = () => request.result.createObjectStore(STORE, { keyPath: "id" });
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
  return opened;
}

async function ask<T>(mode: IDBTransactionMode, verb: (store: IDBObjectStore) => IDBRequest<T>): Promise<T> {
  const transaction = (await database()).transaction(STORE, mode);
  return new Promise((resolve, reject) => {
    const request = verb(transaction.objectStore(STORE));
    transaction.oncomplete = () => resolve(request.result);
    transaction.onabort = transaction.onerror = () => reject(transaction.error ?? request.error);
  });
}

export const allConversations = (): Promise<Conversation[]> => ask("readonly", (store) => store.getAll());

export const readStored = (id: string): Promise<Conversation | undefined> => ask("readonly", (store) => store.get(id));

const channel = new BroadcastChannel(NAME);

/** Calls back when another tab has changed or removed a conversation. */
export function onForeignChange(callback: (id: string) => void): void {
  channel.onmessage = ({ data }) => callback(String(data));
}

export async function saveConversation(conversation: Conversation): Promise<void> {
  await ask("readwrite", (store) => store.put(conversation));
  channel.postMessage(conversation.id);
}

export async function dropConversation(id: string): Promise<void> {
  await ask("readwrite", (store) => store.delete(id));
  channel.postMessage(id);
}

/** Storage may be switched off; then the page forgets. */
export function remember(storage: "local" | "session", key: string, value: string | null): void {
  try {
    const target = storage === "local" ? localStorage : sessionStorage;
    if (value === null) target.removeItem(`mistral-api.${key}`);
    else target.setItem(`mistral-api.${key}`, value);
  } catch {
    return;
  }
}

export function recall(storage: "local" | "session", key: string): string | null {
  try {
    return (storage === "local" ? localStorage : sessionStorage).getItem(`mistral-api.${key}`);
  } catch {
    return null;
  }
}
