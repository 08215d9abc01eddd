// The conversations and what can be done with them. One answer at a time is written in each; others may be written meanwhile.
import { computed, signal } from "@preact/signals";
import { ApiError, ask, type ChatEvent, events, keyWanted, type Timings, unlessAborted } from "./api";
import {
  type Conversation, type Ended, type Figures, type Message, newConversation, newestLeaf, newId, partThinking, pathTo, readConversation,
  titleOf, withMessage, withoutMessage,
} from "./conversation";
import { first } from "./metrics";
import { lookNow, readMetrics, state, untilReady } from "./server";
import { allConversations, dropConversation, onForeignChange, readStored, recall, remember, saveConversation } from "./store";
import { t } from "./texts";

export const conversations = signal<Conversation[]>([]);
export const currentId = signal<string | null>(null);
export const stored = signal(true);
export const current = computed(() => conversations.value.find(({ id }) => id === currentId.value) ?? null);

export interface Phase {
  name: "sending" | "waiting" | "writing" | "retry" | "unavailable" | "loading" | "broken" | "away";
  until?: number;
  /** `before`: at most so many of those who wait came before us. */
  busy?: { running: number; waiting: number; before: number } | undefined;
}

/** An answer that is being written. */
export interface Run {
  conversation: string;
  message: string;
  phase: Phase;
  content: string;
  reasoning: string;
  figures: Figures;
}

export const runs = signal<Record<string, Run>>({});
export const currentRun = computed(() => (currentId.value ? runs.value[currentId.value] : undefined));
const controllers = new Map<string, AbortController>();

/** The last thing that can be undone, or news. */
export const notice = signal<{ text: string; undo?: () => void } | null>(null);
/** What a screen reader is told. */
export const spoken = signal("");

export async function openStore(): Promise<void> {
  try {
    const found = await allConversations();
    conversations.value = found.sort((one, other) => other.updated - one.updated);
    const last = recall("session", "conversation");
    if (found.some(({ id }) => id === last)) currentId.value = last;
    onForeignChange(takeForeign);
  } catch {
    stored.value = false;
  }
}

async function takeForeign(id: string): Promise<void> {
  if (runs.value[id]) return;
  const found = await readStored(id);
  const rest = conversations.value.filter((one) => one.id !== id);
  conversations.value = found ? [found, ...rest].sort((one, other) => other.updated - one.updated) : rest;
}

export function select(id: string | null): void {
  currentId.value = id;
  remember("session", "conversation", id);
}

/** Puts a changed conversation in its place and keeps it. */
export function keep(conversation: Conversation, { first: toFront = false } = {}): void {
  const there = conversations.value.some(({ id }) => id === conversation.id);
  if (there && !toFront) conversations.value = conversations.value.map((one) => (one.id === conversation.id ? conversation : one));
  else conversations.value = [conversation, ...conversations.value.filter(({ id }) => id !== conversation.id)];
  saveConversation(conversation).catch(() => {
    stored.value = false;
  });
}

export const byId = (id: string): Conversation | undefined => conversations.value.find((one) => one.id === id);

/** The current conversation, made where there is none. */
export function ensureCurrent(): Conversation {
  const there = current.value;
  if (there) return there;
  const made = newConversation(t.conversations.untitled);
  keep(made);
  select(made.id);
  return made;
}

export function remove(id: string): void {
  const gone = byId(id);
  if (!gone) return;
  stop(id);
  conversations.value = conversations.value.filter((one) => one.id !== id);
  if (currentId.value === id) select(null);
  void dropConversation(id).catch(() => undefined);
  notice.value = { text: t.conversations.deleted, undo: () => { keep(gone, { first: true }); select(id); } };
}

export function rename(id: string, title: string): void {
  const there = byId(id);
  if (there && title.trim()) keep({ ...there, title: title.trim(), named: true });
}

export function removeMessage(id: string): void {
  const there = current.value;
  if (!there || currentRun.value) return;
  keep(withoutMessage(there, id));
  notice.value = { text: t.chat.deleted, undo: () => keep(there) };
}

export function showBranch(message: Message): void {
  const there = current.value;
  if (there && !currentRun.value) keep({ ...there, leaf: newestLeaf(there, message.id) });
}

function userMessage(content: string, parent: string | null): Message {
  return { id: newId(), parent, role: "user", content, created: Date.now() };
}

/** Says something in the current conversation, after the message that is shown last. */
export function send(content: string): void {
  const there = ensureCurrent();
  if (runs.value[there.id]) return;
  const asked = withMessage(there, userMessage(content, there.leaf));
  const named = there.named || there.leaf ? asked : { ...asked, title: titleOf(content) };
  keep(named, { first: true });
  answer(named, asked.leaf);
}

/** Writes a message anew as a branch beside it; the model answers it if it is a person's. */
export function edit(message: Message, content: string): void {
  const there = current.value;
  if (!there || currentRun.value) return;
  const { error: _error, figures: _figures, reasoning: _reasoning, ...rest } = message;
  const changed = withMessage(there, { ...rest, id: newId(), content, created: Date.now() });
  keep(changed, { first: true });
  if (message.role === "user") answer(changed, changed.leaf);
}

/** Another answer beside this one. */
export function regenerate(message: Message): void {
  const there = current.value;
  if (there && !currentRun.value) answer(there, message.parent);
}

export function answer(conversation: Conversation, parent: string | null): void {
  const message: Message = { id: newId(), parent, role: "assistant", content: "", created: Date.now() };
  const begun = withMessage(conversation, message);
  keep(begun, { first: true });
  void write(begun.id, message.id);
}

/** Goes on with an answer that was cut. */
export function goOn(message: Message): void {
  const there = current.value;
  if (there && !currentRun.value) void write(there.id, message.id);
}

export function stop(id: string | null = currentId.value): void {
  if (id) controllers.get(id)?.abort(new DOMException("stopped", "AbortError"));
}

function update(id: string, change: Partial<Run>): void {
  const there = runs.value[id];
  if (there) runs.value = { ...runs.value, [id]: { ...there, ...change } };
}

const SAVE_EVERY = 1500;

/** Writes a message to its end, whatever comes between. */
async function write(id: string, messageId: string): Promise<void> {
  const message = byId(id)?.messages[messageId];
  if (!message) return;
  const controller = new AbortController();
  controllers.set(id, controller);
  runs.value = {
    ...runs.value,
    [id]: {
      conversation: id, message: messageId, phase: { name: "sending" }, content: message.content, reasoning: message.reasoning ?? "", figures: {},
    },
  };
  spoken.value = t.chat.answering;
  const saving = setInterval(() => settle(id, "broken"), SAVE_EVERY);
  let ended: Ended = "error";
  let error = "";
  try {
    ended = await untilWritten(id, controller.signal);
  } catch (failure) {
    if (controller.signal.aborted) ended = "stopped";
    else error = failure instanceof Error ? failure.message : String(failure);
  }
  clearInterval(saving);
  settle(id, ended, error);
  const content = runs.value[id]?.content ?? "";
  controllers.delete(id);
  const { [id]: _done, ...rest } = runs.value;
  runs.value = rest;
  if (id === currentId.value) spoken.value = t.chat.answered(partThinking({ content }).answer.slice(0, 1000) || error || t.ended[ended]);
}

/** What has been written so far becomes part of the conversation. */
function settle(id: string, ended: Ended, error = ""): void {
  const [run, conversation] = [runs.value[id], byId(id)];
  const message = run && conversation?.messages[run.message];
  if (!run || !conversation || !message) return;
  const { error: _old, ...rest } = message;
  const written: Message = { ...rest, content: run.content, ended, figures: run.figures };
  if (run.reasoning) written.reasoning = run.reasoning;
  if (error) written.error = error;
  keep({ ...conversation, messages: { ...conversation.messages, [message.id]: written }, updated: Date.now() });
}

/** Sends the request, again where it was refused for a while or broke off. Raises what cannot be mended. */
async function untilWritten(id: string, signal: AbortSignal): Promise<Ended> {
  for (;;) {
    try {
      return await stream(id, signal);
    } catch (error) {
      if (signal.aborted) throw error;
      if (!(await mended(id, error, signal))) throw error;
    }
  }
}

/** Waits until it makes sense to try again; false where it never will. */
async function mended(id: string, error: unknown, signal: AbortSignal): Promise<boolean> {
  if (error instanceof ApiError) {
    if (error.progress !== undefined) {
      update(id, { phase: { name: "loading" } });
      state.value = "loading";
      await unlessAborted(untilReady(), signal);
      return true;
    }
    if (error.status === 429 || (error.status === 503 && error.retryAfter)) {
      const until = Date.now() + (error.retryAfter ?? 1) * 1000;
      const name = error.status === 429 ? "retry" : "unavailable";
      update(id, { phase: { name, until } });
      // Once: what is shown counts down in silence.
      spoken.value = t.phase[name](error.retryAfter ?? 1);
      lookNow();
      await pause(until - Date.now(), signal);
      return true;
    }
    // No Retry-After: it was cut off by a shutdown, the engine has failed, or a proxy finds nobody behind it.
    if (error.status !== 503 && (error.kind || ![502, 504].includes(error.status))) return false;
    update(id, { phase: { name: "away" } });
    state.value = "unknown";
    await pause(1000, signal);
    await unlessAborted(untilReady(), signal);
    return true;
  }
  // fetch and readers raise TypeError when the network fails; a stream that just ends is `BrokenOff`.
  if (!(error instanceof TypeError || error instanceof BrokenOff || error instanceof DOMException)) return false;
  update(id, { phase: { name: "broken" } });
  state.value = "down";
  await pause(300, signal);
  await unlessAborted(untilReady(), signal);
  return true;
}

class BrokenOff extends Error {}

const pause = (ms: number, signal: AbortSignal): Promise<void> =>
  unlessAborted(new Promise((resolve) => setTimeout(resolve, Math.max(ms, 0))), signal);

interface ApiMessage {
  role: string;
  content: string;
  reasoning_content?: string;
}

function requestMessages(conversation: Conversation, run: Run): ApiMessage[] {
  const parent = conversation.messages[run.message]?.parent ?? null;
  const messages: ApiMessage[] = conversation.system.trim() ? [{ role: "system", content: conversation.system }] : [];
  for (const message of pathTo(conversation, parent)) {
    // Thoughts of earlier answers are not shown to the model again: templates leave them out as well.
    messages.push({ role: message.role, content: message.role === "user" ? message.content : partThinking(message).answer });
  }
  if (run.content) messages.push({ role: "assistant", content: run.content });
  return messages;
}

function requestBody(conversation: Conversation, run: Run, written: number): Record<string, unknown> {
  const settings = { ...conversation.settings };
  const limit = settings.n_predict;
  if (typeof limit === "number" && limit > 0) settings.n_predict = Math.max(limit - written, 1);
  return {
    ...settings,
    messages: requestMessages(conversation, run),
    stream: true,
    stream_options: { include_usage: true },
    timings_per_token: true,
  };
}

/** Reads one stream into the run. Raises ApiError, TypeError and BrokenOff. */
async function stream(id: string, signal: AbortSignal): Promise<Ended> {
  const [run, conversation] = [runs.value[id], byId(id)];
  if (!run || !conversation) return "stopped";
  const writtenBefore = run.figures.tokens ?? 0;
  const began = performance.now();
  update(id, { phase: { name: "sending" } });
  const watching = watchQueue(id, signal);
  const painter = new Painter(id);
  try {
    const response = await ask("v1/chat/completions", { body: requestBody(conversation, run, writtenBefore), signal });
    if (runs.value[id]?.phase.name === "sending") update(id, { phase: { name: "waiting" } });
    let reason: string | null = null;
    for await (const event of events<ChatEvent>(response)) {
      if (event === "done") break;
      const choice = event.choices[0];
      const text = choice?.delta.content ?? "";
      const thought = choice?.delta.reasoning_content ?? "";
      if (text || thought) {
        watching.abort();
        painter.add(text, thought, performance.now() - began);
      }
      if (event.timings) painter.figures(event.timings, writtenBefore);
      reason = choice?.finish_reason ?? reason;
    }
    if (!reason) throw new BrokenOff("the stream ended early");
    return reason === "length" ? "length" : "stop";
  } finally {
    // Now: later it would say "writing" over what is said of a break.
    painter.flush();
    watching.abort();
  }
}

/** While nothing comes, says how busy the server is. */
function watchQueue(id: string, signal: AbortSignal): AbortController {
  const own = new AbortController();
  const both = AbortSignal.any([own.signal, signal]);
  void (async () => {
    // Who comes after us makes the queue longer, but only those before us were there when it was shortest.
    let shortest = Infinity;
    while (!both.aborted) {
      await pause(800, both);
      if (keyWanted.value) continue;
      const metrics = await readMetrics(both);
      const [running, waiting] = [first(metrics, "mistral_api_requests_running"), first(metrics, "mistral_api_requests_waiting")];
      if (waiting) shortest = Math.min(shortest, waiting);
      const busy = waiting ? { running: running ?? 0, waiting, before: shortest - 1 } : undefined;
      const phase = runs.value[id]?.phase;
      if (!both.aborted && phase && (phase.name === "waiting" || phase.name === "sending")) update(id, { phase: { name: "waiting", busy } });
    }
  })().catch(() => undefined);
  return own;
}

/** Gathers what comes and shows it with the next frame. */
class Painter {
  private text = "";
  private thought = "";
  private told: Figures = {};
  private timer: ReturnType<typeof setTimeout> | undefined;

  constructor(private readonly id: string) {}

  add(text: string, thought: string, after: number): void {
    this.text += text;
    this.thought += thought;
    if (this.told.firstToken === undefined) this.told.firstToken = runs.value[this.id]?.figures.firstToken ?? after;
    this.timer ??= setTimeout(() => this.flush(), 40);
  }

  figures(timings: Timings, before: number): void {
    const { prompt_n, cache_n, predicted_n, predicted_per_second } = timings;
    this.told = { ...this.told, prompt: prompt_n + cache_n, cached: cache_n, tokens: before + predicted_n };
    if (predicted_per_second > 0) this.told.perSecond = predicted_per_second;
  }

  flush(): void {
    clearTimeout(this.timer);
    this.timer = undefined;
    const run = runs.value[this.id];
    if (!run) return;
    update(this.id, {
      phase: run.content || this.text || this.thought ? { name: "writing" } : run.phase,
      content: run.content + this.text,
      reasoning: run.reasoning + this.thought,
      figures: { ...run.figures, ...this.told },
    });
    this.text = this.thought = "";
  }
}

/** Files of conversations: `{"conversations": [...]}`. */
export function exported(chosen: Conversation[]): string {
  return JSON.stringify({ format: "mistral-api conversations", version: 1, conversations: chosen }, null, 2);
}

export function importFrom(text: string): number {
  const raw = JSON.parse(text) as { conversations?: unknown };
  const list = Array.isArray(raw) ? raw : Array.isArray(raw.conversations) ? raw.conversations : [raw];
  const read = list.map(readConversation);
  if (!read.length || read.some((one) => !one)) throw new Error(t.conversations.badFile);
  for (const conversation of read as Conversation[]) {
    // What is there already stays; the file's conversation comes beside it.
    keep(byId(conversation.id) ? { ...conversation, id: newId() } : conversation);
  }
  conversations.value = [...conversations.value].sort((one, other) => other.updated - one.updated);
  return read.length;
}

export function search(words: string): Conversation[] {
  const wanted = words.toLowerCase().split(/\s+/).filter(Boolean);
  if (!wanted.length) return conversations.value;
  return conversations.value.filter((conversation) => {
    const text = [conversation.title, ...Object.values(conversation.messages).map(({ content }) => content)].join("\n").toLowerCase();
    return wanted.every((word) => text.includes(word));
  });
}
