import { useRef, useState } from "preact/hooks";
import { ApiError, ask, events } from "../api";
import { t } from "../texts";
import { visible } from "./Tokenizer";

interface Chance {
  id: number;
  token: string;
  bytes: number[];
  logprob: number;
  top_logprobs?: Chance[];
}

interface Part {
  content: string;
  completion_probabilities?: Chance[];
}

const STEPS = [0.02, 0.1, 0.3, 0.7];
const level = (probability: number): number => STEPS.filter((step) => probability >= step).length;
const percent = (logprob: number): string => {
  const share = Math.exp(logprob) * 100;
  return `${share < 1 ? share.toFixed(2) : share.toFixed(1)} %`;
};

function Alternatives({ chance }: { chance: Chance }) {
  return (
    <table class="alternatives">
      <caption>{t.server.alternatives(`“${visible(chance.token)}”`)}</caption>
      <thead><tr><th scope="col">{t.server.token}</th><th scope="col">{t.server.id}</th><th scope="col">{t.server.probability}</th></tr></thead>
      <tbody>
        {[...(chance.top_logprobs ?? [])].map((other) => (
          <tr key={other.id} class={other.id === chance.id ? "chosen" : ""}><td>{visible(other.token)}</td><td>{other.id}</td><td>{percent(other.logprob)}</td></tr>
        ))}
      </tbody>
    </table>
  );
}

export function RawCompletion() {
  const [prompt, setPrompt] = useState(t.server.promptSample);
  const [length, setLength] = useState(48);
  const [temperature, setTemperature] = useState(0.8);
  const [chances, setChances] = useState<Chance[]>([]);
  const [chosen, setChosen] = useState<number | null>(null);
  const [problem, setProblem] = useState("");
  const [running, setRunning] = useState(false);
  const controller = useRef<AbortController | null>(null);

  const run = async () => {
    controller.current = new AbortController();
    setRunning(true);
    setChances([]);
    setChosen(null);
    setProblem("");
    try {
      const body = { prompt, n_predict: length, temperature, n_probs: 8, stream: true };
      const response = await ask("completion", { body, signal: controller.current.signal });
      for await (const part of events<Part>(response)) {
        if (part !== "done" && part.completion_probabilities) setChances((before) => [...before, ...part.completion_probabilities!]);
      }
    } catch (error) {
      if (!controller.current.signal.aborted) setProblem(error instanceof ApiError ? error.message : String(error));
    }
    setRunning(false);
  };

  const shown = chosen === null ? undefined : chances[chosen];
  return (
    <section class="card">
      <h2>{t.server.raw}</h2>
      <p class="help">{t.server.rawHelp}</p>
      <form onSubmit={(event) => { event.preventDefault(); if (running) controller.current?.abort(); else void run(); }}>
        <label for="raw-prompt">{t.server.prompt}</label>
        <textarea id="raw-prompt" rows={3} value={prompt} onInput={(event) => setPrompt(event.currentTarget.value)} />
        <div class="row">
          <label>{t.server.length} <input type="number" min={1} max={4096} value={length} onChange={(event) => setLength(Number(event.currentTarget.value) || 1)} /></label>
          <label>{t.server.temperature} <input type="number" min={0} max={5} step="any" value={temperature} onChange={(event) => setTemperature(Number(event.currentTarget.value) || 0)} /></label>
          <button type="submit" class="primary" disabled={!prompt && !running}>{running ? t.server.stop : t.server.run}</button>
        </div>
      </form>
      {problem && <p class="problem" role="alert">{problem}</p>}
      {chances.length > 0 && (
        <>
          <p class="raw">
            {chances.map((chance, index) => (
              <button
                type="button" key={index} class={`chance p${level(Math.exp(chance.logprob))}`} aria-pressed={chosen === index} title={percent(chance.logprob)}
                onClick={() => setChosen(chosen === index ? null : index)}
              >{chance.token.replaceAll("\n", "⏎\n")}</button>
            ))}
          </p>
          <p class="scale help" aria-hidden="true">
            {t.server.unlikely} {[0, 1, 2, 3, 4].map((step) => <span key={step} class={`chance p${step}`}>&nbsp;&nbsp;</span>)} {t.server.likely}
          </p>
          {shown && <Alternatives chance={shown} />}
        </>
      )}
    </section>
  );
}
