// What the page shows: view, theme, dialogs.
import { signal } from "@preact/signals";
import { recall, remember } from "./store";

export const VIEWS = ["chat", "server", "use"] as const;
export type View = (typeof VIEWS)[number];

const viewOf = (hash: string): View => VIEWS.find((view) => hash === `#/${view}`) ?? "chat";

// The view stands behind the #, so the server needs to know nothing of it, under whatever path the page is.
export const view = signal<View>(viewOf(location.hash));
addEventListener("hashchange", () => (view.value = viewOf(location.hash)));

export function show(next: View): void {
  location.hash = `#/${next}`;
}

export const THEMES = ["system", "light", "dark"] as const;
export type Theme = (typeof THEMES)[number];

export const theme = signal<Theme>(THEMES.find((one) => one === recall("local", "theme")) ?? "system");

export function setTheme(next: Theme): void {
  theme.value = next;
  remember("local", "theme", next === "system" ? null : next);
  applyTheme();
}

export function applyTheme(): void {
  if (theme.value === "system") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme.value;
}

export const dialog = signal<"shortcuts" | "settings" | null>(null);
export const menuOpen = signal(false);
/** The message that is being edited. */
export const editing = signal<string | null>(null);
/** A text put into the message field. */
export const draft = signal("");
