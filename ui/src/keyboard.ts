// Shortcuts, as `t.shortcuts` lists them.
import { current, currentId, currentRun, regenerate, select, showBranch, stop } from "./chat";
import { partThinking, pathTo, siblings } from "./conversation";
import { copyText } from "./markdown";
import { dialog, drawerOpen, editing, menuOpen, narrow, show, VIEWS, whenShown } from "./page";
import { keyAsked } from "./api";

const typing = (target: EventTarget | null): boolean =>
  target instanceof HTMLElement && (target.isContentEditable || ["INPUT", "TEXTAREA", "SELECT"].includes(target.tagName));

export const focusInput = (): void => document.querySelector<HTMLElement>("#message")?.focus();

const focused = (): boolean => document.activeElement !== null && document.activeElement !== document.body;

/** A part of the page is about to go: if it has the focus, that passes to what `next` finds, or to the message field. Who uses a keyboard or a screen reader
 * goes on from there and not from the top of the page. Not to the field where a finger points: it would bring up the keyboard on the screen. */
export function passFocus(going: Element, next?: () => HTMLElement | null | undefined): void {
  if (!going.contains(document.activeElement)) return;
  whenShown(() => {
    if (focused()) return;
    next?.()?.focus();
    if (!focused() && matchMedia("(pointer: fine)").matches) focusInput();
  });
}

export function newChat(): void {
  show("chat");
  select(null);
  menuOpen.value = false;
  whenShown(focusInput);
}

const lastAnswer = () => {
  const there = current.value;
  return there ? pathTo(there).findLast(({ role }) => role === "assistant") : undefined;
};

function stepBranch(by: number): void {
  const [there, last] = [current.value, lastAnswer()];
  if (!there || !last) return;
  const all = siblings(there, last);
  const next = all[all.findIndex(({ id }) => id === last.id) + by];
  if (next) showBranch(next);
}

const WITH_ALT: Record<string, () => void> = {
  KeyN: newChat,
  KeyS: () => { show("chat"); dialog.value = "settings"; },
  KeyR: () => { const last = lastAnswer(); if (last) regenerate(last); },
  KeyC: () => { const last = lastAnswer(); if (last) void copyText(partThinking(last).answer); },
  ArrowLeft: () => stepBranch(-1),
  ArrowRight: () => stepBranch(1),
  Digit1: () => show(VIEWS[0]),
  Digit2: () => show(VIEWS[1]),
  Digit3: () => show(VIEWS[2]),
};

function shortcut(event: KeyboardEvent): (() => void) | undefined {
  const plain = !event.ctrlKey && !event.metaKey && !event.altKey;
  // By the place of the key where Alt is held: on a Mac it changes the character.
  if (event.altKey && !event.ctrlKey && !event.metaKey) {
    const moves = event.code.startsWith("Arrow") && typing(event.target) && (event.target as HTMLInputElement).value !== "";
    return moves ? undefined : WITH_ALT[event.code];
  }
  if ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "k") {
    return () => {
      show("chat");
      menuOpen.value = narrow.value;
      whenShown(() => document.querySelector<HTMLElement>("#search")?.focus());
    };
  }
  if (event.key === "Escape") {
    if (drawerOpen.value) return () => (menuOpen.value = false);
    if (editing.value) return () => (editing.value = null);
    if (currentRun.value) return () => stop(currentId.value);
  }
  if (plain && !typing(event.target)) {
    if (event.key === "?") return () => (dialog.value = "shortcuts");
    if (event.key === "/") return () => { show("chat"); menuOpen.value = false; whenShown(focusInput); };
  }
  return undefined;
}

export function onKey(event: KeyboardEvent): void {
  if (dialog.value || keyAsked.value || event.isComposing) return;
  const act = shortcut(event);
  if (!act) return;
  event.preventDefault();
  act();
}
