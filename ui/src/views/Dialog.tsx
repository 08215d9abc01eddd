import type { ComponentChildren } from "preact";
import { useLayoutEffect, useRef } from "preact/hooks";
import { passFocus } from "../keyboard";
import { IconButton } from "./icons";

interface Shown {
  heading: string;
  close: string;
  onClose: () => void;
  children: ComponentChildren;
  class?: string;
}

/** The browser's own modal dialog: it keeps the focus, Esc closes it, and the focus goes back. */
export function Dialog({ heading, close, onClose, children, class: extra = "" }: Shown) {
  const dialog = useRef<HTMLDialogElement>(null);
  useLayoutEffect(() => {
    const shown = dialog.current!;
    shown.showModal();
    return () => { passFocus(shown); shown.close(); };
  }, []);
  return (
    <dialog
      ref={dialog}
      class={extra}
      aria-labelledby="dialog-heading"
      onCancel={(event) => { event.preventDefault(); onClose(); }}
      onClick={(event) => { if (event.target === dialog.current) onClose(); }}
    >
      <div class="dialog-inner">
        <header>
          <h2 id="dialog-heading">{heading}</h2>
          <IconButton icon="close" label={close} onClick={onClose} />
        </header>
        {children}
      </div>
    </dialog>
  );
}
