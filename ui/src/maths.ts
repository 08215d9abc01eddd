// Formulas as MathML, which browsers set themselves: no fonts, no style sheets. Loaded when the first formula comes.
import temml from "temml";

const MOST = 5000;

export function renderMath(holder: HTMLElement, display: boolean): void {
  const tex = holder.textContent ?? "";
  if (tex.length > MOST) return;
  try {
    temml.render(tex, holder, { displayMode: display, throwOnError: true, trust: false, maxExpand: 200 });
    for (const link of holder.querySelectorAll("[href]")) link.removeAttribute("href");
  } catch {
    // What is no formula stays as it was written.
    holder.textContent = tex;
    holder.classList.add("plain");
  }
}
