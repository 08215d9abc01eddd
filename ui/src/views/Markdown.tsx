import { useLayoutEffect, useRef } from "preact/hooks";
import { blocksOf, render } from "../markdown";

/** A text that may still grow: blocks that have not changed keep their nodes, so that a selection in them stays. */
export function Markdown({ text, live = false }: { text: string; live?: boolean }) {
  const holder = useRef<HTMLDivElement>(null);
  const shown = useRef<{ key: string; node: HTMLElement }[]>([]);
  useLayoutEffect(() => {
    const blocks = blocksOf(text);
    const next = blocks.map((block, index) => {
      const whole = !live || index < blocks.length - 1;
      const key = `${whole}${block.raw}`;
      const old = shown.current[index];
      return old?.key === key ? old : { key, node: render(block, whole) };
    });
    for (const [index, { node }] of next.entries()) {
      const old = shown.current[index]?.node;
      if (!old) holder.current!.append(node);
      else if (old !== node) old.replaceWith(node);
    }
    for (const { node } of shown.current.slice(next.length)) node.remove();
    shown.current = next;
  }, [text, live]);
  return <div class="markdown" ref={holder} />;
}
