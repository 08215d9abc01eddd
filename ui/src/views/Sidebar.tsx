import { useLayoutEffect, useRef, useState } from "preact/hooks";
import { conversations, currentId, exported, importFrom, notice, remove, rename, runs, search, select, stored } from "../chat";
import type { Conversation } from "../conversation";
import { newChat } from "../keyboard";
import { drawerOpen, menuOpen, whenShown } from "../page";
import { t } from "../texts";
import { Icon, IconButton } from "./icons";

function save(name: string, text: string): void {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([text], { type: "application/json" }));
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}

const fileName = (title: string): string => `${title.replace(/[^\p{L}\p{N}]+/gu, "-").slice(0, 40) || "conversation"}.json`;

function Entry({ conversation }: { conversation: Conversation }) {
  const [renaming, setRenaming] = useState(false);
  const [open, setOpen] = useState(false);
  const item = useRef<HTMLLIElement>(null);
  const title = conversation.title || t.conversations.untitled;
  const focusOn = (name: string) => whenShown(() => item.current?.querySelector<HTMLElement>(name)?.focus());
  const done = (value: string) => {
    rename(conversation.id, value);
    setRenaming(false);
  };
  if (renaming) {
    return (
      <li class="entry" ref={item}>
        <form onSubmit={(event) => { event.preventDefault(); done(new FormData(event.currentTarget).get("title") as string); focusOn(".entry-title"); }}>
          <input
            name="title" aria-label={t.conversations.title} defaultValue={title} autofocus ref={(input) => input?.focus()}
            onKeyDown={(event) => { if (event.key === "Escape") { event.stopPropagation(); setRenaming(false); focusOn(".entry-title"); } }}
            onBlur={(event) => done(event.currentTarget.value)}
          />
        </form>
      </li>
    );
  }
  return (
    <li ref={item} class={`entry ${conversation.id === currentId.value ? "current" : ""}`}>
      <button
        type="button" class="entry-title" aria-current={conversation.id === currentId.value ? "true" : undefined} title={title}
        onClick={() => { select(conversation.id); menuOpen.value = false; }}
      >
        {runs.value[conversation.id] && <span class="dot writing" role="img" aria-label={t.chat.answering} />}
        <span>{title}</span>
      </button>
      <IconButton icon="more" label={t.conversations.more(title)} expanded={open} onClick={() => setOpen(!open)} class="entry-more" />
      {open && (
        <div class="entry-actions" onKeyDown={(event) => { if (event.key === "Escape") { event.stopPropagation(); setOpen(false); focusOn(".entry-more"); } }}>
          <button type="button" class="small" onClick={() => { setOpen(false); setRenaming(true); }}><Icon name="edit" />{t.conversations.rename}</button>
          <button type="button" class="small" onClick={() => { setOpen(false); focusOn(".entry-more"); save(fileName(title), exported([conversation])); }}><Icon name="download" />{t.conversations.export}</button>
          <button type="button" class="small danger" onClick={() => { document.querySelector<HTMLElement>(".side .new")?.focus(); remove(conversation.id); }}><Icon name="trash" />{t.conversations.delete}</button>
        </div>
      )}
    </li>
  );
}

const DAY = 86_400_000;

function byAge(list: Conversation[]): [string, Conversation[]][] {
  const today = new Date().setHours(0, 0, 0, 0);
  const groups: [string, Conversation[]][] = [
    [t.conversations.today, list.filter(({ updated }) => updated >= today)],
    [t.conversations.week, list.filter(({ updated }) => updated < today && updated >= today - 7 * DAY)],
    [t.conversations.older, list.filter(({ updated }) => updated < today - 7 * DAY)],
  ];
  return groups.filter(([, some]) => some.length);
}

function Files() {
  const input = useRef<HTMLInputElement>(null);
  const read = async (file: File | undefined) => {
    if (!file) return;
    try {
      notice.value = { text: t.conversations.imported(importFrom(await file.text())) };
    } catch {
      notice.value = { text: t.conversations.badFile };
    }
  };
  return (
    <div class="files">
      <button type="button" class="small" onClick={() => input.current?.click()}><Icon name="upload" />{t.conversations.import}</button>
      <button type="button" class="small" disabled={!conversations.value.length} onClick={() => save("conversations.json", exported(conversations.value))}>
        <Icon name="download" />{t.conversations.exportAll}
      </button>
      <input
        ref={input} type="file" accept="application/json,.json" hidden aria-label={t.conversations.import}
        onChange={(event) => { void read(event.currentTarget.files?.[0]); event.currentTarget.value = ""; }}
      />
    </div>
  );
}

/** Where it is a drawer: the focus goes in when it opens, and back when it closes. It cannot leave meanwhile, as the rest is inert. */
function useDrawer() {
  const place = useRef<HTMLDivElement>(null);
  const open = drawerOpen.value;
  useLayoutEffect(() => {
    const side = place.current;
    if (!open || !side) return undefined;
    const before = document.activeElement;
    side.querySelector("button")!.focus();
    return () => {
      const now = document.activeElement;
      if ((now === document.body || side.contains(now)) && before instanceof HTMLElement && before.isConnected) before.focus();
    };
  }, [open]);
  return { place, open };
}

export function Sidebar() {
  const { place, open } = useDrawer();
  const [words, setWords] = useState("");
  const found = search(words);
  return (
    <>
      {open && <div class="veil" aria-hidden="true" onClick={() => (menuOpen.value = false)} />}
      <div ref={place} class={`side ${open ? "open" : ""}`} role={open ? "dialog" : "complementary"} aria-label={t.menu}>
        <div class="brand">
          <p class="name">{t.appName}</p>
          <IconButton icon="close" label={t.closeMenu} class="only-narrow" onClick={() => (menuOpen.value = false)} />
        </div>
        <button type="button" class="new" onClick={newChat}><Icon name="plus" />{t.conversations.new}</button>
        <div class="search">
          <Icon name="search" />
          <input id="search" type="search" placeholder={t.conversations.search} aria-label={t.conversations.search} value={words} onInput={(event) => setWords(event.currentTarget.value)} />
        </div>
        <div class="entries">
          {!found.length && <p class="help">{words ? t.conversations.nothingFound : t.conversations.none}</p>}
          {byAge(found).map(([label, some]) => (
            <section key={label} aria-label={label}>
              <h2>{label}</h2>
              <ul>{some.map((conversation) => <Entry key={conversation.id} conversation={conversation} />)}</ul>
            </section>
          ))}
        </div>
        <Files />
        <p class="help kept">{stored.value ? t.conversations.kept : t.conversations.notKept}</p>
      </div>
    </>
  );
}
