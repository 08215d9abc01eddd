// What is known of the server: its state, its properties, its figures over the last minutes.
import { signal } from "@preact/signals";
import { ApiError, address, ask, askJson, type ModelEntry, type Props } from "./api";
import { buckets, first, type Metrics, parseMetrics, quantile } from "./metrics";

export type State = "unknown" | "loading" | "ready" | "draining" | "dead" | "down";

export const state = signal<State>("unknown");
export const progress = signal(0);
export const props = signal<Props | null>(null);
export const model = signal<ModelEntry | null>(null);

export const modelName = (): string => {
  const name = props.value?.model_alias ?? "";
  return (name.split("/").at(-1) ?? "").replace(/\.gguf$/i, "");
};

const FAST = 700;
const SLOW = 10_000;
let wake: () => void = () => undefined;
let waiting: (() => void)[] = [];

/** Looks at the server now, and oftener while it is not ready. */
export function lookNow(): void {
  wake();
}

/** Resolves when the server takes requests. */
export function untilReady(): Promise<void> {
  lookNow();
  return new Promise((resolve) => waiting.push(resolve));
}

async function look(): Promise<State> {
  try {
    const response = await fetch(address("health/ready"), { cache: "no-store" });
    if (response.ok) return "ready";
    const { error } = (await response.json()) as { error: { message: string; progress?: number } };
    if (error.progress !== undefined) {
      progress.value = error.progress;
      return "loading";
    }
    return response.headers.has("retry-after") ? "draining" : response.status === 503 ? "dead" : "down";
  } catch {
    return "down";
  }
}

export async function watchServer(): Promise<void> {
  for (;;) {
    if (!document.hidden || waiting.length) {
      const seen = await look();
      const back = seen === "ready" && state.value !== "ready";
      state.value = seen;
      if (back) void learn();
      if (seen === "ready") {
        const told = waiting;
        waiting = [];
        for (const resolve of told) resolve();
      }
    }
    const pause = state.value === "ready" ? SLOW : FAST;
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, pause);
      wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }
}

async function learn(): Promise<void> {
  try {
    props.value = await askJson<Props>("props");
    model.value = (await askJson<{ data: ModelEntry[] }>("v1/models")).data[0] ?? null;
  } catch (error) {
    if (!(error instanceof ApiError) || error.status >= 500) state.value = "unknown";
  }
}

/** One reading of /metrics. */
export async function readMetrics(signal?: AbortSignal): Promise<Metrics> {
  return parseMetrics(await (await ask("metrics", signal ? { signal } : {})).text());
}

export interface Reading {
  time: number;
  running?: number | undefined;
  waiting?: number | undefined;
  used?: number | undefined;
  cached?: number | undefined;
  cells?: number | undefined;
  generated?: number | undefined;
  prompt?: number | undefined;
  first50?: number | undefined;
  first95?: number | undefined;
  between50?: number | undefined;
  between95?: number | undefined;
  decode?: number | undefined;
  sample?: number | undefined;
  own?: number | undefined;
}

export const readings = signal<Reading[]>([]);
export const modelLabels = signal<Record<string, string>>({});
const EVERY = 2000;
const KEPT = 150;
const LATELY = 15;
/** Quantiles and rates are those of the last half minute, so that single requests can be seen and noise cannot. */
let earlier: { time: number; metrics: Metrics }[] = [];

function reading(metrics: Metrics, before: { time: number; metrics: Metrics }, last: typeof before): Reading {
  const now = performance.now();
  const per = (name: string, part?: string): number | undefined => {
    const pick = (from: Metrics) => (part ? from.get(name)?.find((one) => one.labels.part === part)?.value : first(from, name));
    const [old, fresh] = [pick(last.metrics), pick(metrics)];
    if (old === undefined || fresh === undefined || now <= last.time) return undefined;
    return Math.max(fresh - old, 0) / ((now - last.time) / 1000);
  };
  const within = (name: string, share: number, factor = 1): number | undefined => {
    const value = quantile(buckets(before.metrics, name), buckets(metrics, name), share);
    return value === undefined ? undefined : value * factor;
  };
  const part = (name: string) => {
    const share = per("mistral_api_step_part_seconds_total", name);
    return share === undefined ? undefined : share * 1000;
  };
  const ttft = "mistral_api_time_to_first_token_seconds";
  const between = "mistral_api_time_between_tokens_seconds";
  return {
    time: Date.now(),
    running: first(metrics, "mistral_api_requests_running"),
    waiting: first(metrics, "mistral_api_requests_waiting"),
    used: first(metrics, "mistral_api_kv_cells_used"),
    cached: first(metrics, "mistral_api_kv_cells_cached"),
    cells: first(metrics, "mistral_api_kv_cells"),
    generated: per("mistral_api_generated_tokens_total"),
    prompt: per("mistral_api_prompt_tokens_computed_total"),
    first50: within(ttft, 0.5),
    first95: within(ttft, 0.95),
    between50: within(between, 0.5, 1000),
    between95: within(between, 0.95, 1000),
    decode: part("decode"),
    sample: part("sample"),
    own: part("own"),
  };
}

/** Reads the metrics until the signal aborts; what was read stays. */
export async function watchMetrics(signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    try {
      if (!document.hidden) {
        const metrics = await readMetrics(signal);
        const now = { time: performance.now(), metrics };
        const last = earlier.at(-1) ?? now;
        readings.value = [...readings.value, reading(metrics, earlier[0] ?? now, last)].slice(-KEPT);
        earlier = [...earlier, now].slice(-LATELY);
        modelLabels.value = metrics.get("mistral_api_model_info")?.[0]?.labels ?? {};
      }
    } catch {
      if (!signal.aborted) lookNow();
    }
    await new Promise((resolve) => setTimeout(resolve, EVERY));
  }
}
