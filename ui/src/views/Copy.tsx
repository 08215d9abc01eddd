import { useState } from "preact/hooks";
import { copyText } from "../markdown";
import { spoken } from "../chat";
import { t } from "../texts";
import { Icon } from "./icons";

export function CopyButton({ text, label = t.chat.copy, named = false }: { text: () => string; label?: string; named?: boolean }) {
  const [done, setDone] = useState(false);
  const copy = async () => {
    if (!(await copyText(text()))) return;
    setDone(true);
    spoken.value = t.chat.copied;
    setTimeout(() => setDone(false), 1500);
  };
  return (
    <button type="button" class={named ? "small" : "icon-button"} title={label} aria-label={label} onClick={() => void copy()}>
      <Icon name={done ? "check" : "copy"} />
      {named && <span>{done ? t.chat.copied : t.chat.copy}</span>}
    </button>
  );
}
