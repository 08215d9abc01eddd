// A conversation is a tree of messages: editing or regenerating adds a sibling, and `leaf` says which branch is shown.

export type Role = "user" | "assistant";
export type Ended = "stop" | "length" | "stopped" | "error" | "broken";

export interface Figures {
  /** Milliseconds until the first token, as seen here. */
  firstToken?: number;
  perSecond?: number;
  tokens?: number;
  prompt?: number;
  cached?: number;
}

export interface Message {
  id: string;
  parent: string | null;
  role: Role;
  content: string;
  reasoning?: string;
  created: number;
  ended?: Ended;
  error?: string;
  figures?: Figures;
}

export type SettingValue = number | string | boolean | string[];

export interface Conversation {
  id: string;
  title: string;
  /** Whether a person gave the title. */
  named?: boolean;
  created: number;
  updated: number;
  system: string;
  settings: Record<string, SettingValue>;
  messages: Record<string, Message>;
  leaf: string | null;
}

// crypto.randomUUID exists only on https and localhost; a service in a home network has neither.
export const newId = (): string =>
  Array.from(crypto.getRandomValues(new Uint8Array(12)), (byte) => byte.toString(16).padStart(2, "0")).join("");

export function newConversation(title: string): Conversation {
  const now = Date.now();
  return { id: newId(), title, created: now, updated: now, system: "", settings: {}, messages: {}, leaf: null };
}

/** The messages from the first to `leaf`. */
export function pathTo(conversation: Conversation, leaf: string | null = conversation.leaf): Message[] {
  const path: Message[] = [];
  const seen = new Set<string>();
  for (let id = leaf; id && !seen.has(id); ) {
    const message: Message | undefined = conversation.messages[id];
    if (!message) break;
    seen.add(id);
    path.unshift(message);
    id = message.parent;
  }
  return path;
}

export function siblings(conversation: Conversation, message: Message): Message[] {
  return Object.values(conversation.messages)
    .filter((other) => other.parent === message.parent)
    .sort((one, other) => one.created - other.created);
}

/** The newest leaf below a message. */
export function newestLeaf(conversation: Conversation, id: string): string {
  const children = Object.values(conversation.messages).filter((message) => message.parent === id);
  if (!children.length) return id;
  return newestLeaf(conversation, children.reduce((one, other) => (other.created >= one.created ? other : one)).id);
}

export function withMessage(conversation: Conversation, message: Message): Conversation {
  const messages = { ...conversation.messages, [message.id]: message };
  return { ...conversation, messages, leaf: message.id, updated: Date.now() };
}

/** Without a message and everything below it; a sibling's branch is shown then, or the message above. */
export function withoutMessage(conversation: Conversation, id: string): Conversation {
  const gone = conversation.messages[id];
  if (!gone) return conversation;
  const messages = { ...conversation.messages };
  const drop = (dropped: string) => {
    delete messages[dropped];
    for (const message of Object.values(messages)) if (message.parent === dropped) drop(message.id);
  };
  drop(id);
  const rest = { ...conversation, messages, updated: Date.now() };
  const others = siblings(rest, gone);
  const last = others.at(-1);
  return { ...rest, leaf: last ? newestLeaf(rest, last.id) : gone.parent };
}

export const titleOf = (text: string): string => {
  const line = text.trim().split("\n")[0] ?? "";
  return line.length > 60 ? `${line.slice(0, 59)}…` : line;
};

const THINKING = /^\s*(?:<think>|\[THINK\])([\s\S]*?)(?:(<\/think>|\[\/THINK\])|$)/;

/** Parts a model's thinking, which some write before their answer, from the answer. */
export function partThinking(message: { content: string; reasoning?: string }): {
  thinking: string;
  answer: string;
  open: boolean;
} {
  if (message.reasoning) return { thinking: message.reasoning, answer: message.content, open: !message.content };
  const match = THINKING.exec(message.content);
  if (!match) return { thinking: "", answer: message.content, open: false };
  return { thinking: match[1]!.trim(), answer: message.content.slice(match[0].length).trimStart(), open: !match[2] };
}

const isText = (value: unknown): value is string => typeof value === "string";

/** A conversation from a file, checked field by field; nothing if it is none. */
export function readConversation(raw: unknown): Conversation | undefined {
  if (typeof raw !== "object" || !raw) return undefined;
  const given = raw as Partial<Conversation>;
  if (typeof given.messages !== "object" || !given.messages) return undefined;
  const messages: Record<string, Message> = {};
  for (const [id, message] of Object.entries(given.messages)) {
    if (!message || !isText(message.content) || (message.role !== "user" && message.role !== "assistant")) return undefined;
    messages[id] = { ...message, id, parent: isText(message.parent) ? message.parent : null, created: Number(message.created) || 0 };
  }
  const settings = typeof given.settings === "object" && given.settings ? given.settings : {};
  return {
    id: isText(given.id) ? given.id : newId(),
    title: isText(given.title) ? given.title : "",
    named: given.named === true,
    created: Number(given.created) || Date.now(),
    updated: Number(given.updated) || Date.now(),
    system: isText(given.system) ? given.system : "",
    settings: settings as Record<string, SettingValue>,
    messages,
    leaf: isText(given.leaf) && given.leaf in messages ? given.leaf : null,
  };
}
