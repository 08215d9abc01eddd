import type { FunctionComponent } from "preact";
import { useEffect, useLayoutEffect, useState } from "preact/hooks";
import { apiKey, keyAsked, keyWanted } from "../api";
import { notice, spoken } from "../chat";
import { onKey } from "../keyboard";
import { dialog, drawerOpen, menuOpen, setTheme, show, theme, THEMES, view, VIEWS } from "../page";
import { modelName, progress, state } from "../server";
import { t } from "../texts";
import { ChatView } from "./ChatView";
import { Dialog } from "./Dialog";
import { IconButton } from "./icons";
import { KeyDialog } from "./KeyDialog";
import { SettingsDialog } from "./SettingsDialog";
import { Sidebar } from "./Sidebar";

const LOADERS = {
  server: () => import("./ServerView").then((module) => module.ServerView),
  use: () => import("./UseView").then((module) => module.UseView),
};

/** A view that is fetched when it is first shown. */
function Later({ name }: { name: keyof typeof LOADERS }) {
  const [loaded, setLoaded] = useState<{ name: string; view: FunctionComponent } | null>(null);
  useEffect(() => void LOADERS[name]().then((view) => setLoaded({ name, view })), [name]);
  return loaded?.name === name ? <loaded.view /> : <main id="main" class="page" />;
}

function StateChip() {
  const shown = state.value;
  const label = shown === "loading" ? t.state.loading(progress.value) : t.state[shown];
  return (
    <span class={`chip ${shown}`} role="status">
      <span class="dot" aria-hidden="true" />
      {shown === "ready" && modelName() ? <span class="chip-name">{modelName()}</span> : null}
      <span class={shown === "ready" ? "unseen" : ""}>{label}</span>
    </span>
  );
}

function Banner() {
  const shown = state.value;
  if (shown === "ready" || shown === "unknown") return null;
  return (
    <div class={`banner ${shown}`} role="status">
      <span>{t.banner[shown]}</span>
      {shown === "loading" && <progress max={1} value={progress.value} aria-label={t.state.loading(progress.value)} />}
    </div>
  );
}

const THEME_ICONS = { system: "screen", light: "sun", dark: "moon" } as const;

function ThemeButton() {
  const next = THEMES[(THEMES.indexOf(theme.value) + 1) % THEMES.length]!;
  return (
    <IconButton icon={THEME_ICONS[theme.value]} label={`${t.theme.label}: ${t.theme[theme.value]}`} onClick={() => setTheme(next)} />
  );
}

function TopBar() {
  return (
    <header class="top">
      {view.value === "chat" && (
        <IconButton icon="menu" label={t.menu} class="only-narrow" expanded={menuOpen.value} onClick={() => (menuOpen.value = !menuOpen.value)} />
      )}
      <nav aria-label={t.navigation}>
        {VIEWS.map((name) => (
          <a href={`#/${name}`} key={name} aria-current={view.value === name ? "page" : undefined} onClick={() => show(name)}>
            {t.views[name]}
          </a>
        ))}
      </nav>
      <StateChip />
      {(apiKey.value || keyWanted.value) && <IconButton icon="key" label={t.key.label} onClick={() => (keyAsked.value = true)} />}
      <IconButton icon="keyboard" label={t.help} class="only-wide" onClick={() => (dialog.value = "shortcuts")} />
      <ThemeButton />
    </header>
  );
}

function Notice() {
  const shown = notice.value;
  useEffect(() => {
    if (!shown) return undefined;
    const timer = setTimeout(() => (notice.value = null), 8000);
    return () => clearTimeout(timer);
  }, [shown]);
  return (
    <div class="notice-place" role="status">
      {shown && (
        <div class="notice">
          <span>{shown.text}</span>
          {shown.undo && <button type="button" class="small" onClick={() => { shown.undo!(); notice.value = null; }}>{t.undo}</button>}
          <IconButton icon="close" label={t.dismiss} onClick={() => (notice.value = null)} />
        </div>
      )}
    </div>
  );
}

function Shortcuts() {
  return (
    <Dialog heading={t.shortcuts.heading} close={t.shortcuts.close} onClose={() => (dialog.value = null)}>
      <dl class="shortcuts">
        {t.shortcuts.list.map(([keys, what]) => (
          <div key={keys}>
            <dt><kbd>{keys}</kbd></dt>
            <dd>{what}</dd>
          </div>
        ))}
      </dl>
    </Dialog>
  );
}

export function App() {
  useLayoutEffect(() => {
    addEventListener("keydown", onKey);
    return () => removeEventListener("keydown", onKey);
  }, []);
  useEffect(() => {
    document.title = view.value === "chat" ? t.appName : `${t.views[view.value]} · ${t.appName}`;
  }, [view.value]);
  return (
    <>
      <a class="skip" href="#main" inert={drawerOpen.value} onClick={(event) => { event.preventDefault(); document.getElementById("main")?.focus(); }}>{t.skip}</a>
      <div class={`frame ${view.value}`}>
        {view.value === "chat" && <Sidebar />}
        <div class="body" inert={drawerOpen.value}>
          <TopBar />
          <Banner />
          {view.value === "chat" ? <ChatView /> : <Later name={view.value} />}
        </div>
      </div>
      <Notice />
      <div class="unseen" aria-live="polite">{spoken.value}</div>
      {dialog.value === "shortcuts" && <Shortcuts />}
      {dialog.value === "settings" && <SettingsDialog />}
      {keyAsked.value && <KeyDialog />}
    </>
  );
}

