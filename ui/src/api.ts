// What the page asks of the service it came from: nothing else is ever asked. Addresses are relative to the page.
import { signal } from "@preact/signals";
import { recall, remember } from "./store";

export const base = new URL("./", document.baseURI.split("#")[0]);
export const address = (path: string): string => new URL(path, base).href;

export const apiKey = signal(recall("session", "key") ?? "");
/** Whether the dialog for the key is open. */
export const keyAsked = signal(false);
/** Whether something waits for a key; it does so on when the dialog is closed without one. */
export const keyWanted = signal(false);
/** Whether the service does not know the key that we have. */
export const keyRefused = signal(false);
let keyGiven: (() => void)[] = [];

export function giveKey(key: string): void {
  apiKey.value = key;
  remember("session", "key", key || null);
  keyAsked.value = keyWanted.value = keyRefused.value = false;
  const waiting = keyGiven;
  keyGiven = [];
  for (const resolve of waiting) resolve();
}

/** Opens the dialog; what runs in the background does so only once, as it may have been closed on purpose. */
function askForKey(byPerson: boolean): Promise<void> {
  if (byPerson || !keyWanted.value) keyAsked.value = true;
  keyWanted.value = true;
  keyRefused.value = apiKey.value !== "";
  return new Promise((resolve) => keyGiven.push(resolve));
}

export class ApiError extends Error {
  constructor(
    message: string,
    readonly status: number,
    /** Empty where a proxy answers in the service's place. */
    readonly kind = "",
    readonly retryAfter: number | undefined = undefined,
    readonly progress: number | undefined = undefined,
  ) {
    super(message);
  }
}

/** Headers hold bytes; the service reads a key as UTF-8. */
const utf8 = (text: string): string => String.fromCharCode(...new TextEncoder().encode(text));

interface Asked {
  body?: unknown;
  signal?: AbortSignal;
}

/** An answer with a good status. Where a key is needed it is asked for, once for all that wait. Raises ApiError. */
export async function ask(path: string, { body, signal }: Asked = {}): Promise<Response> {
  for (;;) {
    const headers: Record<string, string> = {};
    if (body !== undefined) headers["content-type"] = "application/json";
    const key = apiKey.value;
    if (key) headers.authorization = `Bearer ${utf8(key)}`;
    const sent: RequestInit = { headers, cache: "no-store" };
    if (body !== undefined) Object.assign(sent, { method: "POST", body: JSON.stringify(body) });
    if (signal) sent.signal = signal;
    const response = await fetch(address(path), sent);
    if (response.ok) return response;
    if (response.status !== 401) throw await errorOf(response);
    if (key === apiKey.value) await unlessAborted(askForKey(body !== undefined), signal);
  }
}

export const askJson = async <T>(path: string, asked?: Asked): Promise<T> => (await ask(path, asked)).json() as Promise<T>;

export function unlessAborted<T>(promise: Promise<T>, signal?: AbortSignal): Promise<T> {
  if (!signal) return promise;
  return new Promise((resolve, reject) => {
    const aborted = () => reject(signal.reason);
    if (signal.aborted) aborted();
    signal.addEventListener("abort", aborted, { once: true });
    promise.then(resolve, reject).finally(() => signal.removeEventListener("abort", aborted));
  });
}

/** Seconds, or the seconds until a date: proxies may send one (RFC 9110, 10.2.3). */
function secondsUntil(told: string | null): number | undefined {
  if (!told) return undefined;
  const seconds = Number(told);
  const until = Number.isNaN(seconds) ? Math.ceil((Date.parse(told) - Date.now()) / 1000) : seconds;
  return until > 0 ? until : undefined;
}

async function errorOf(response: Response): Promise<ApiError> {
  const retryAfter = secondsUntil(response.headers.get("retry-after"));
  try {
    const { error } = (await response.json()) as ErrorBody;
    return new ApiError(error.message, response.status, error.type, retryAfter, error.progress);
  } catch {
    return new ApiError(`HTTP ${response.status}`, response.status, "", retryAfter);
  }
}

interface ErrorBody {
  error: { message: string; type?: string; code?: number; progress?: number };
}

/** The events of a stream until `[DONE]` or its end. Raises ApiError for an error that came as an event. */
export async function* events<T extends object>(response: Response): AsyncGenerator<T | "done"> {
  const reader = response.body!.pipeThrough(new TextDecoderStream()).getReader();
  let held = "";
  try {
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return;
      held += value;
      const parts = held.split("\n\n");
      held = parts.pop()!;
      for (const part of parts) {
        if (!part.startsWith("data:")) continue;
        const data = part.slice(5).trim();
        if (data === "[DONE]") {
          yield "done";
          return;
        }
        const event = JSON.parse(data) as Awaited<T>;
        const { error } = event as Partial<ErrorBody>;
        if (error) throw new ApiError(error.message, error.code ?? 500, error.type);
        yield event;
      }
    }
  } finally {
    reader.cancel().catch(() => undefined);
  }
}

export interface Timings {
  cache_n: number;
  prompt_n: number;
  prompt_ms: number;
  predicted_n: number;
  predicted_ms: number;
  predicted_per_second: number;
}

export interface ChatEvent {
  choices: { delta: { content?: string | null; reasoning_content?: string | null }; finish_reason: string | null }[];
  timings?: Timings;
}

export interface Props {
  default_generation_settings: { n_ctx: number; params: Record<string, unknown> };
  total_slots: number;
  model_alias: string;
  model_path: string;
  model_ftype: string;
  chat_template: string;
  chat_template_caps?: { supports_system_role?: boolean };
  bos_token: string;
  eos_token: string;
  build_info: string;
  cpu_variant?: string;
  threads?: number;
  threads_batch?: number;
  gpu_layers?: number;
  memory?: { model: number; anonymous: number };
  queue_limit?: number;
  api_prefix?: string;
  state?: string;
  version?: string;
}

export interface ModelEntry {
  id: string;
  aliases?: string[];
  meta?: { vocab_type: number; n_vocab: number; n_ctx: number; n_ctx_train: number; n_embd: number; n_params: number; size: number; ftype: string };
}
