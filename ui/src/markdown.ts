// Markdown of a model to nodes. Nothing of it is trusted: raw HTML is shown as text, and DOMPurify lets only the tags below through.
import DOMPurify from "dompurify";
import { Marked, type Token, type Tokens, type TokenizerAndRendererExtension } from "marked";
import { t } from "./texts";

const escapeHtml = (text: string): string =>
  text.replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`);

const mathHtml = (tex: string, display: boolean): string =>
  `<span class="math${display ? " display" : ""}">${escapeHtml(tex)}</span>`;

interface Maths extends Tokens.Generic {
  tex: string;
  display: boolean;
}

const maths = (name: string, level: "block" | "inline", start: RegExp, rules: [RegExp, boolean][]): TokenizerAndRendererExtension => ({
  name,
  level,
  start: (source) => start.exec(source)?.index,
  tokenizer(source) {
    for (const [rule, display] of rules) {
      const match = rule.exec(source);
      if (match) return { type: name, raw: match[0], tex: match[1]!.trim(), display };
    }
    return undefined;
  },
  renderer: (token) => mathHtml((token as Maths).tex, (token as Maths).display) + (level === "block" ? "\n" : ""),
});

const parser = new Marked({
  gfm: true,
  breaks: false,
  extensions: [
    maths("blockMath", "block", /^(?:\$\$|\\\[)/m, [
      [/^\$\$([\s\S]+?)\$\$[ \t]*(?:\n|$)/, true],
      [/^\\\[([\s\S]+?)\\\][ \t]*(?:\n|$)/, true],
    ]),
    // A dollar opens only before a word and closes only where no digit follows, so that prices stay prices.
    maths("inlineMath", "inline", /\$|\\\(|\\\[/, [
      [/^\$\$([^$\n]+?)\$\$/, true],
      [/^\\\[([^\n]+?)\\\]/, true],
      [/^\\\(([^\n]+?)\\\)/, false],
      [/^\$(?![\s$])((?:\\.|[^$\\\n])*?[^\s\\$])\$(?!\d)/, false],
    ]),
  ],
  renderer: {
    html: ({ text }) => escapeHtml(text),
    // Pictures would be fetched from elsewhere: they become links.
    image: ({ href, text }) => `<a href="${escapeHtml(href)}">${escapeHtml(text || href)}</a>`,
    checkbox: ({ checked }) => (checked ? "☑ " : "☐ "),
    heading({ tokens, depth }) {
      // The page's own headings stand above those of an answer.
      const level = Math.min(depth + 2, 6);
      return `<h${level}>${this.parser.parseInline(tokens)}</h${level}>\n`;
    },
  },
});

const CLEAN = {
  ALLOWED_TAGS: [
    "a", "blockquote", "br", "code", "del", "em", "h3", "h4", "h5", "h6", "hr", "li", "ol", "p", "pre", "span", "strong", "table", "tbody",
    "td", "th", "thead", "tr", "ul",
  ],
  ALLOWED_ATTR: ["align", "class", "href", "start", "title"],
  ALLOWED_URI_REGEXP: /^(?:https?|mailto):/i,
  ALLOW_DATA_ATTR: false,
  ALLOW_ARIA_ATTR: false,
  RETURN_DOM_FRAGMENT: true as const,
};

export const blocksOf = (text: string): Token[] => parser.lexer(text).filter(({ type }) => type !== "space");

/** The nodes of one block. `whole`: nothing more will come, so that code can be coloured. */
export function render(block: Token, whole: boolean): HTMLElement {
  const holder = document.createElement("div");
  holder.className = "block";
  holder.append(DOMPurify.sanitize(parser.parser([block]), CLEAN));
  for (const link of holder.querySelectorAll("a")) {
    link.target = "_blank";
    link.rel = "noopener noreferrer nofollow";
  }
  for (const pre of holder.querySelectorAll("pre")) dressCode(pre, whole);
  for (const table of holder.querySelectorAll("table")) dressTable(table);
  const formulas = [...holder.querySelectorAll<HTMLElement>(".math")];
  if (formulas.length) void typeset(formulas);
  return holder;
}

function dressTable(table: HTMLTableElement): void {
  const frame = document.createElement("div");
  frame.className = "table";
  frame.tabIndex = 0;
  frame.role = "region";
  frame.ariaLabel = t.chat.table;
  table.replaceWith(frame);
  frame.append(table);
}

function dressCode(pre: HTMLPreElement, whole: boolean): void {
  const code = pre.querySelector("code");
  if (!code) return;
  const language = /language-([\w+#.-]+)/.exec(code.className)?.[1] ?? "";
  const frame = document.createElement("div");
  frame.className = "code";
  const head = document.createElement("div");
  head.className = "code-head";
  const name = document.createElement("span");
  name.textContent = language;
  const button = document.createElement("button");
  button.type = "button";
  button.className = "small";
  button.textContent = t.chat.copyCode;
  button.addEventListener("click", () => void copyTold(button, code.textContent ?? ""));
  head.append(name, button);
  pre.replaceWith(frame);
  pre.tabIndex = 0;
  frame.append(head, pre);
  if (language && whole) void colour(code, language);
}

async function copyTold(button: HTMLButtonElement, text: string): Promise<void> {
  if (!(await copyText(text))) return;
  button.textContent = t.chat.copied;
  setTimeout(() => (button.textContent = t.chat.copyCode), 1500);
}

/** The clipboard's own interface is there on https and localhost only. */
export async function copyText(text: string): Promise<boolean> {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    const area = document.createElement("textarea");
    area.value = text;
    area.className = "unseen";
    const before = document.activeElement;
    (document.querySelector("dialog[open]") ?? document.body).append(area);
    area.select();
    const done = document.execCommand("copy");
    area.remove();
    if (before instanceof HTMLElement) before.focus();
    return done;
  }
}

async function colour(code: HTMLElement, language: string): Promise<void> {
  const { highlighter } = await import("./highlight");
  if (!highlighter.getLanguage(language)) return;
  const { value } = highlighter.highlight(code.textContent ?? "", { language, ignoreIllegals: true });
  code.replaceChildren(DOMPurify.sanitize(value, { ALLOWED_TAGS: ["span"], ALLOWED_ATTR: ["class"], RETURN_DOM_FRAGMENT: true }));
}

async function typeset(formulas: HTMLElement[]): Promise<void> {
  const { renderMath } = await import("./maths");
  for (const formula of formulas) renderMath(formula, formula.classList.contains("display"));
}
