// What the page shows: view, theme, dialogs.
import { computed, signal } from "@preact/signals";
import { recall, remember } from "./store";

export const VIEWS = ["chat", "server", "use"] as const;
export type View = (typeof VIEWS)[number];

const viewOf = (hash: string): View => VIEWS.find((view) => hash === `#/${view}`) ?? "chat";

// The view stands behind the #, so the server needs to know nothing of it, under whatever path the page is.
export const view = signal<View>(viewOf(location.hash));
addEventListener("hashchange", () => {
  const asked = viewOf(location.hash);
  if (asked !== view.value) menuOpen.value = false;
  view.value = asked;
});

export function show(next: View): void {
  view.value = next;
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

/** As in styles.css: where it is narrow the conversations are a drawer. */
const narrowly = matchMedia("(max-width: 54rem)");
export const narrow = signal(narrowly.matches);
narrowly.addEventListener("change", () => {
  narrow.value = narrowly.matches;
  menuOpen.value = false;
});
export const menuOpen = signal(false);
/** Whether the drawer lies over the page, which is out of reach then. */
export const drawerOpen = computed(() => menuOpen.value && narrow.value && view.value === "chat");
/** The message that is being edited. */
export const editing = signal<string | null>(null);
/** A text put into the message field. */
export const draft = signal("");

/** Acts once what has just changed is in the document: Preact writes it in a microtask that already waits. A frame would come too late for who types on. */
export const whenShown = (act: () => void): void => queueMicrotask(act);
