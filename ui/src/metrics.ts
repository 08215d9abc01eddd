// Prometheus' text format, as far as the page needs it.

export interface Sample {
  labels: Record<string, string>;
  value: number;
}
export type Metrics = Map<string, Sample[]>;

const LINE = /^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? (\S+)/;
const LABEL = /(\w+)="((?:[^"\\]|\\.)*)"/g;

export function parseMetrics(text: string): Metrics {
  const found: Metrics = new Map();
  for (const line of text.split("\n")) {
    const match = LINE.exec(line);
    if (!match) continue;
    const labels: Record<string, string> = {};
    for (const [, name, value] of (match[2] ?? "").matchAll(LABEL)) labels[name!] = value!;
    const samples = found.get(match[1]!) ?? [];
    samples.push({ labels, value: match[3] === "+Inf" ? Infinity : Number(match[3]) });
    found.set(match[1]!, samples);
  }
  return found;
}

export const first = (metrics: Metrics, name: string): number | undefined => metrics.get(name)?.[0]?.value;

/** Counts by upper bound, cumulated as Prometheus tells them. */
export type Buckets = [bound: number, count: number][];

export function buckets(metrics: Metrics, name: string): Buckets {
  return (metrics.get(`${name}_bucket`) ?? []).map(({ labels, value }) => [
    labels.le === "+Inf" ? Infinity : Number(labels.le),
    value,
  ]);
}

/** The quantile of what came between two readings, straight within a bucket as Prometheus does it; undefined if nothing came. */
export function quantile(before: Buckets, after: Buckets, share: number): number | undefined {
  const counts = after.map(([bound, count], index) => [bound, count - (before[index]?.[1] ?? 0)] as const);
  const total = counts.at(-1)?.[1] ?? 0;
  if (total <= 0) return undefined;
  let [low, below] = [0, 0];
  for (const [bound, count] of counts) {
    if (count >= share * total) {
      if (bound === Infinity) return low;
      return low + (bound - low) * ((share * total - below) / Math.max(count - below, 1e-9));
    }
    [low, below] = [bound, count];
  }
  return low;
}
