import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";
import { keyAsked, keyWanted } from "../api";
import { current, currentRun, edit, goOn, type Phase, regenerate, removeMessage, type Run, showBranch } from "../chat";
import { type Figures, type Message, partThinking, siblings } from "../conversation";
import { passFocus } from "../keyboard";
import { editing, whenShown } from "../page";
import { t } from "../texts";
import { CopyButton } from "./Copy";
import { IconButton } from "./icons";
import { Markdown } from "./Markdown";

function useSecondsUntil(until: number | undefined): number {
  const [now, setNow] = useState(Date.now());
  useEffect(() => {
    if (until === undefined) return undefined;
    setNow(Date.now());
    const timer = setInterval(() => setNow(Date.now()), 250);
    return () => clearInterval(timer);
  }, [until]);
  return until === undefined ? 0 : Math.max(Math.ceil((until - now) / 1000), 0);
}

const waitsForKey = (phase: Phase): boolean => keyWanted.value && (phase.name === "sending" || phase.name === "waiting");

function phaseText(phase: Phase, seconds: number): string {
  if (phase.name === "retry") return t.phase.retry(seconds);
  if (phase.name === "unavailable") return t.phase.unavailable(seconds);
  if (phase.name === "writing") return "";
  if (waitsForKey(phase)) return t.phase.key;
  if (phase.busy) return t.phase.busy(phase.busy.running, phase.busy.waiting, phase.busy.before);
  return t.phase[phase.name];
}

function PhaseLine({ phase }: { phase: Phase }) {
  const text = phaseText(phase, useSecondsUntil(phase.until));
  if (!text) return null;
  return (
    <p class={`phase ${phase.name}`} role={phase.until === undefined ? "status" : "timer"}>
      <span class="dots" aria-hidden="true"><i /><i /><i /></span>
      {text}
      {waitsForKey(phase) && <button type="button" class="small" onClick={() => (keyAsked.value = true)}>{t.key.give}</button>}
    </p>
  );
}

function figureTexts(figures: Figures): string[] {
  const texts: string[] = [];
  if (figures.tokens) texts.push(t.figures.tokens(figures.tokens));
  if (figures.perSecond) texts.push(t.figures.perSecond(figures.perSecond));
  if (figures.firstToken !== undefined) texts.push(t.figures.firstToken(figures.firstToken));
  if (figures.cached) texts.push(t.figures.cached(figures.cached));
  return texts;
}

function Branches({ message }: { message: Message }) {
  const place = useRef<HTMLSpanElement>(null);
  const conversation = current.value;
  if (!conversation) return null;
  const all = siblings(conversation, message);
  if (all.length < 2) return null;
  const index = all.findIndex(({ id }) => id === message.id);
  const step = (by: -1 | 1) => {
    const next = all[index + by];
    if (next) showBranch(next);
    // At the last one its button can hold the focus no more.
    whenShown(() => [...(place.current?.querySelectorAll<HTMLElement>("button:enabled") ?? [])].at(by < 0 ? 0 : -1)?.focus());
  };
  const busy = currentRun.value !== undefined;
  return (
    <span class="branches" ref={place}>
      <IconButton icon="left" label={t.chat.previousBranch} disabled={index === 0 || busy} onClick={() => step(-1)} />
      <span>{t.chat.branch(index + 1, all.length)}</span>
      <IconButton icon="right" label={t.chat.nextBranch} disabled={index === all.length - 1 || busy} onClick={() => step(1)} />
    </span>
  );
}

function Editor({ message }: { message: Message }) {
  const [text, setText] = useState(message.content);
  const area = useRef<HTMLTextAreaElement>(null);
  useLayoutEffect(() => {
    const [field, before] = [area.current!, document.activeElement];
    const item = field.closest("li")!;
    field.focus();
    field.setSelectionRange(text.length, text.length);
    const opener = () => item.querySelector<HTMLElement>(`.actions [aria-label="${t.chat.edit}"]`);
    return () => passFocus(field.form!, () => (before?.id === "message" ? null : opener()));
  }, []);
  const save = () => { editing.value = null; edit(message, text); };
  const close = () => (editing.value = null);
  return (
    <form class="editor" onSubmit={(event) => { event.preventDefault(); save(); }}>
      <textarea
        ref={area} aria-label={t.chat.edit} value={text} rows={Math.min(Math.max(text.split("\n").length, 2), 14)}
        onInput={(event) => setText(event.currentTarget.value)}
        onKeyDown={(event) => {
          if (event.key === "Escape") { event.stopPropagation(); close(); }
          if (event.key === "Enter" && !event.shiftKey && !event.isComposing && message.role === "user") { event.preventDefault(); save(); }
        }}
      />
      <div class="editor-actions">
        <button type="button" onClick={close}>{t.chat.cancel}</button>
        <button type="submit" class="primary" disabled={!text.trim()}>{message.role === "user" ? t.chat.saveAndSend : t.chat.save}</button>
      </div>
    </form>
  );
}

function Actions({ message, text }: { message: Message; text: string }) {
  const busy = currentRun.value !== undefined;
  const place = useRef<HTMLDivElement>(null);
  useLayoutEffect(() => {
    const going = place.current!;
    return () => passFocus(going);
  }, []);
  const cut = message.role === "assistant" && message.ended !== "stop" && message.content !== "";
  return (
    <div class="actions" ref={place}>
      <Branches message={message} />
      <CopyButton text={() => text} />
      <IconButton icon="edit" label={t.chat.edit} disabled={busy} onClick={() => (editing.value = message.id)} />
      {message.role === "assistant" && <IconButton icon="again" label={t.chat.regenerate} disabled={busy} onClick={() => regenerate(message)} />}
      <IconButton icon="trash" label={t.chat.delete} disabled={busy} onClick={() => removeMessage(message.id)} />
      {cut && <button type="button" class="small" disabled={busy} onClick={() => goOn(message)}>{t.chat.continue}</button>}
    </div>
  );
}

function Thinking({ text, open }: { text: string; open: boolean }) {
  return (
    <details class="thinking">
      <summary>{open ? t.chat.thinking : t.chat.thought}</summary>
      <Markdown text={text} live={open} />
    </details>
  );
}

function Answer({ message, run }: { message: Message; run: Run | undefined }) {
  const shown = run ?? message;
  const { thinking, answer, open } = partThinking(shown);
  const figures = figureTexts(run?.figures ?? message.figures ?? {});
  const ended = !run && message.ended ? t.ended[message.ended] : "";
  return (
    <>
      {thinking && <Thinking text={thinking} open={open && run !== undefined} />}
      <Markdown text={answer} live={run !== undefined} />
      {run && <PhaseLine phase={run.phase} />}
      {!run && message.error && <p class="problem" role="alert">{message.error}</p>}
      {(figures.length > 0 || ended) && (
        <p class="figures">
          {ended && <span class={`ended ${message.ended}`}>{ended}</span>}
          {figures.map((figure) => <span key={figure}>{figure}</span>)}
        </p>
      )}
      {!run && <Actions message={message} text={answer} />}
    </>
  );
}

export function MessageView({ message }: { message: Message }) {
  const run = currentRun.value?.message === message.id ? currentRun.value : undefined;
  const speaker = message.role === "user" ? t.chat.you : t.chat.model;
  const inside = () => {
    if (editing.value === message.id) return <Editor message={message} />;
    if (message.role === "assistant") return <Answer message={message} run={run} />;
    return (
      <>
        <div class="bubble">{message.content}</div>
        <Actions message={message} text={message.content} />
      </>
    );
  };
  return (
    <li class={`message ${message.role}`} aria-busy={run !== undefined}>
      <h2 class="unseen">{speaker}</h2>
      {inside()}
    </li>
  );
}
