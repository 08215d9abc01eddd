import type { ComponentChildren } from "preact";
import { useEffect } from "preact/hooks";
import { base } from "../api";
import { model, modelLabels, props, readings, state, watchMetrics } from "../server";
import { numberFormat, t } from "../texts";
import { Chart } from "./Chart";
import { RawCompletion } from "./RawCompletion";
import { Tokenizer } from "./Tokenizer";

const whole = (value: number): string => numberFormat.format(Math.round(value));
const short = (value: number): string => (value >= 100 ? whole(value) : Number(value.toPrecision(3)).toString());

function bytes(value: number): string {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let step = 0;
  for (; value >= 1024 && step < units.length - 1; step += 1) value /= 1024;
  return `${short(value)} ${units[step]}`;
}

const count = (value: number): string =>
  value >= 1e9 ? t.server.billion(short(value / 1e9)) : value >= 1e6 ? t.server.million(short(value / 1e6)) : whole(value);

function Rows({ rows }: { rows: [name: string, value: ComponentChildren][] }) {
  return (
    <dl class="rows">
      {rows.filter(([, value]) => value !== undefined && value !== "" && value !== null).map(([name, value]) => (
        <div key={name}><dt>{t.server.rows[name]}</dt><dd>{value}</dd></div>
      ))}
    </dl>
  );
}

function Tile({ label, value, of }: { label: string; value: string; of?: string | undefined }) {
  return (
    <div class="tile">
      <dt>{label}</dt>
      <dd>{value}{of && <small> / {of}</small>}</dd>
    </div>
  );
}

function Now() {
  const last = readings.value.at(-1);
  const shown = (value: number | undefined) => (value === undefined ? "–" : whole(value));
  return (
    <section aria-label={t.server.now}>
      <dl class="tiles">
        <Tile label={t.server.running} value={shown(last?.running)} of={props.value ? whole(props.value.total_slots) : undefined} />
        <Tile label={t.server.waiting} value={shown(last?.waiting)} of={props.value?.queue_limit === undefined ? undefined : whole(props.value.queue_limit)} />
        <Tile label={t.server.cells} value={shown(last?.used)} of={last?.cells === undefined ? undefined : whole(last.cells)} />
        <Tile label={t.server.rate} value={last?.generated === undefined ? "–" : short(last.generated)} />
      </dl>
    </section>
  );
}

function Live() {
  const { series } = t.server;
  return (
    <section class="card">
      <h2>{t.server.live}</h2>
      <p class="help">{readings.value.length < 2 ? t.server.gathering : t.server.liveHelp}</p>
      <div class="charts">
        <Chart title={t.server.chartRequests} format={whole} series={[{ name: "running", label: series.running }, { name: "waiting", label: series.waiting }]} />
        <Chart title={t.server.chartCells} format={whole} series={[{ name: "used", label: series.used }, { name: "cached", label: series.cached }]} />
        <Chart title={t.server.chartRate} format={short} series={[{ name: "generated", label: series.generated }, { name: "prompt", label: series.prompt }]} />
        <Chart title={t.server.chartFirst} format={short} series={[{ name: "first50", label: series.p50 }, { name: "first95", label: series.p95 }]} />
        <Chart title={t.server.chartBetween} format={short} series={[{ name: "between50", label: series.p50 }, { name: "between95", label: series.p95 }]} />
        <Chart title={t.server.chartSteps} format={short} series={[{ name: "decode", label: series.decode }, { name: "sample", label: series.sample }, { name: "own", label: series.own }]} />
      </div>
    </section>
  );
}

function Facts() {
  const [known, meta, labels] = [props.value, model.value?.meta, modelLabels.value];
  if (!known) return null;
  const modelRows: [string, ComponentChildren][] = [
    ["name", model.value?.id], ["aliases", model.value?.aliases?.join(", ")], ["path", known.model_path], ["architecture", labels.architecture],
    ["quantization", known.model_ftype], ["parameters", meta && count(meta.n_params)], ["size", meta && bytes(meta.size)],
    ["vocabulary", meta && whole(meta.n_vocab)], ["trained", meta && whole(meta.n_ctx_train)], ["embedding", meta && whole(meta.n_embd)],
    ["bos", known.bos_token && <code>{known.bos_token}</code>], ["eos", known.eos_token && <code>{known.eos_token}</code>],
  ];
  const setRows: [string, ComponentChildren][] = [
    ["state", t.state[state.value as "ready"]], ["context", whole(known.default_generation_settings.n_ctx)], ["slots", whole(known.total_slots)],
    ["queue", known.queue_limit === undefined ? undefined : whole(known.queue_limit)], ["threads", known.threads], ["threadsBatch", known.threads_batch],
    ["variant", known.cpu_variant], ["gpu", known.gpu_layers], ["memory", known.memory && bytes(known.memory.anonymous)], ["build", known.build_info],
    ["version", known.version],
  ];
  return (
    <div class="pair">
      <section class="card">
        <h2>{t.server.model}</h2>
        <Rows rows={modelRows} />
        <details><summary>{t.server.template}</summary><pre class="template" tabIndex={0}>{known.chat_template}</pre></details>
      </section>
      <section class="card"><h2>{t.server.settings}</h2><Rows rows={setRows} /></section>
    </div>
  );
}

export function ServerView() {
  useEffect(() => {
    const controller = new AbortController();
    void watchMetrics(controller.signal);
    return () => controller.abort();
  }, []);
  return (
    <main id="main" class="page" tabIndex={-1}>
      <h1>{t.server.heading}</h1>
      <Now />
      <Live />
      <Facts />
      <Tokenizer />
      <RawCompletion />
      <p class="links">
        <a href={new URL("docs", base).href}>{t.server.more}</a>
        <a href={new URL("metrics", base).href}>{t.server.metrics}</a>
      </p>
    </main>
  );
}
