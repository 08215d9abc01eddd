import { useLayoutEffect, useRef, useState } from "preact/hooks";
import { answer, current, currentId, currentRun, send, stop } from "../chat";
import { pathTo } from "../conversation";
import { passFocus } from "../keyboard";
import { dialog, draft, editing } from "../page";
import { modelName, props } from "../server";
import { numberFormat, t } from "../texts";
import { Icon, IconButton } from "./icons";
import { MessageView } from "./Message";

function Welcome() {
  return (
    <div class="welcome">
      <p class="greeting">{t.chat.greeting}</p>
      {modelName() && <p class="help">{t.chat.greetingModel(modelName())}</p>}
      <ul class="starters">
        {t.chat.starters.map((starter) => (
          <li key={starter}><button type="button" onClick={() => send(starter)}>{starter}</button></li>
        ))}
      </ul>
    </div>
  );
}

function ContextUsed() {
  const conversation = current.value;
  const all = props.value?.default_generation_settings.n_ctx;
  if (!conversation || !all) return null;
  const path = pathTo(conversation);
  const last = currentRun.value?.figures.prompt ? currentRun.value : path.findLast((message) => message.figures?.prompt);
  const figures = last?.figures;
  if (!figures?.prompt) return null;
  const used = figures.prompt + (figures.tokens ?? 0);
  const label = t.chat.context(used, all);
  return (
    <span class="context" title={label}>
      <meter min={0} max={all} high={all * 0.85} value={used} aria-label={label} />
      <span>{numberFormat.format(used)} / {numberFormat.format(all)}</span>
    </span>
  );
}

const changedSettings = (): number => Object.keys(current.value?.settings ?? {}).length + (current.value?.system ? 1 : 0);

function Composer() {
  const area = useRef<HTMLTextAreaElement>(null);
  const running = currentRun.value !== undefined;
  const text = draft.value;
  useLayoutEffect(() => {
    const field = area.current!;
    field.style.height = "auto";
    field.style.height = `${Math.min(field.scrollHeight, 240)}px`;
  }, [text]);
  useLayoutEffect(() => {
    if (matchMedia("(pointer: fine)").matches) area.current?.focus();
  }, [currentId.value]);
  const submit = () => {
    if (!text.trim() || running) return;
    draft.value = "";
    send(text.trim());
  };
  const onKeyDown = (event: KeyboardEvent) => {
    if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
      event.preventDefault();
      submit();
    }
    if (event.key === "ArrowUp" && !text && current.value && !running) {
      const last = pathTo(current.value).findLast(({ role }) => role === "user");
      if (last) {
        event.preventDefault();
        editing.value = last.id;
      }
    }
  };
  const changed = changedSettings();
  return (
    <form class="composer" aria-label={t.chat.placeholder} onSubmit={(event) => { event.preventDefault(); submit(); }}>
      <textarea
        ref={area} id="message" rows={1} aria-label={t.chat.input} placeholder={t.chat.placeholder} value={text}
        onInput={(event) => (draft.value = event.currentTarget.value)} onKeyDown={onKeyDown} title={t.chat.hint}
      />
      <div class="composer-row">
        <button type="button" class="small" onClick={() => (dialog.value = "settings")}>
          <Icon name="sliders" />
          <span>{changed ? t.chat.settingsChanged(changed) : t.chat.settings}</span>
        </button>
        <ContextUsed />
        {running ? (
          <button type="button" class="round" title={t.chat.stop} aria-label={t.chat.stop} onClick={() => stop()}><Icon name="stop" /></button>
        ) : (
          <button type="submit" class="round" title={t.chat.send} aria-label={t.chat.send} disabled={!text.trim()}><Icon name="send" /></button>
        )}
      </div>
    </form>
  );
}

const NEAR = 80;

/** Follows what is written while one is at the end, and leaves one in peace who has scrolled up. */
function useFollowing(length: unknown, written: unknown) {
  const place = useRef<HTMLElement>(null);
  const following = useRef(true);
  const [away, setAway] = useState(false);
  const toEnd = () => {
    following.current = true;
    place.current!.scrollTop = place.current!.scrollHeight;
  };
  useLayoutEffect(toEnd, [currentId.value, length]);
  useLayoutEffect(() => { if (following.current) toEnd(); }, [written]);
  const onScroll = () => {
    const { scrollTop, scrollHeight, clientHeight } = place.current!;
    following.current = scrollHeight - scrollTop - clientHeight < NEAR;
    setAway(!following.current);
  };
  return { place, away, toEnd, onScroll };
}

export function ChatView() {
  const conversation = current.value;
  const path = conversation ? pathTo(conversation) : [];
  const run = currentRun.value;
  const { place, away, toEnd, onScroll } = useFollowing(path.at(-1)?.id, run);
  const unanswered = !run && path.at(-1)?.role === "user";
  return (
    <>
      <main id="main" class="chat" ref={place} tabIndex={-1} onScroll={onScroll}>
        <h1 class="unseen">{conversation?.title || t.chat.heading}</h1>
        {path.length ? <ol class="messages">{path.map((message) => <MessageView key={message.parent ?? ""} message={message} />)}</ol> : <Welcome />}
        {unanswered && conversation && (
          <p class="unanswered"><button type="button" onClick={(event) => { answer(conversation, conversation.leaf); passFocus(event.currentTarget); }}>{t.chat.regenerate}</button></p>
        )}
      </main>
      <div class="foot">
        {away && <IconButton icon="down" label={t.chat.toLatest} class="to-latest" onClick={toEnd} />}
        <Composer />
      </div>
    </>
  );
}
