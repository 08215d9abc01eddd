import { useEffect, useState } from "preact/hooks";
import { ApiError, askJson } from "../api";
import { t } from "../texts";

interface Piece {
  id: number;
  piece: string | number[];
}

/** A token's text; bytes that are no character by themselves as numbers; blanks visible. */
export const visible = (piece: string | number[]): string =>
  (typeof piece === "string" ? piece : piece.map((byte) => `<${byte.toString(16).padStart(2, "0")}>`).join(""))
    .replaceAll(" ", "·")
    .replaceAll("\n", "⏎")
    .replaceAll("\t", "⇥");

const toldError = (error: unknown): string => (error instanceof ApiError ? error.message : String(error));

export function Tokenizer() {
  const [text, setText] = useState("Hello, world! Straße, 東京, 🙂");
  const [ids, setIds] = useState("");
  const [special, setSpecial] = useState(false);
  const [parse, setParse] = useState(true);
  const [pieces, setPieces] = useState<Piece[]>([]);
  const [problem, setProblem] = useState("");

  useEffect(() => {
    const controller = new AbortController();
    const timer = setTimeout(async () => {
      try {
        const body = { content: text, with_pieces: true, add_special: special, parse_special: parse };
        const { tokens } = await askJson<{ tokens: Piece[] }>("tokenize", { body, signal: controller.signal });
        setPieces(tokens);
        setIds(tokens.map(({ id }) => id).join(" "));
        setProblem("");
      } catch (error) {
        if (!controller.signal.aborted) setProblem(toldError(error));
      }
    }, 200);
    return () => {
      clearTimeout(timer);
      controller.abort();
    };
  }, [text, special, parse]);

  const fromIds = async (given: string) => {
    setIds(given);
    const tokens = given.split(/[\s,]+/).filter(Boolean).map(Number);
    if (tokens.some((id) => !Number.isInteger(id) || id < 0)) return setProblem(t.server.badIds);
    try {
      const { content } = await askJson<{ content: string }>("detokenize", { body: { tokens } });
      setProblem("");
      setText(content);
    } catch (error) {
      setProblem(toldError(error));
    }
  };

  return (
    <section class="card">
      <h2>{t.server.tokenizer}</h2>
      <p class="help">{t.server.tokenizerHelp}</p>
      <div class="pair">
        <div>
          <label for="token-text">{t.server.text}</label>
          <textarea id="token-text" rows={4} value={text} onInput={(event) => setText(event.currentTarget.value)} />
        </div>
        <div>
          <label for="token-ids">{t.server.ids}</label>
          <textarea id="token-ids" rows={4} value={ids} class="mono" onChange={(event) => void fromIds(event.currentTarget.value)} />
        </div>
      </div>
      <div class="checks">
        <label><input type="checkbox" checked={special} onChange={(event) => setSpecial(event.currentTarget.checked)} /> {t.server.special}</label>
        <label><input type="checkbox" checked={parse} onChange={(event) => setParse(event.currentTarget.checked)} /> {t.server.parse}</label>
        <span class="help" role="status">{t.server.tokenCount(pieces.length)}</span>
      </div>
      {problem && <p class="problem" role="alert">{problem}</p>}
      <ol class="tokens" tabIndex={0} aria-label={t.server.tokenCount(pieces.length)}>
        {pieces.slice(0, 2000).map(({ id, piece }, index) => (
          <li key={index}><span>{visible(piece)}</span><small>{id}</small></li>
        ))}
      </ol>
    </section>
  );
}
