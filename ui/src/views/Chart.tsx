import { readings, type Reading } from "../server";
import { t } from "../texts";

type Name = Exclude<keyof Reading, "time">;

interface Chart {
  title: string;
  series: { name: Name; label: string }[];
  format: (value: number) => string;
}

const WIDTH = 300;
const HEIGHT = 90;
/** Milliseconds from the left edge to the right one, at least and at most. */
const SPANS = [60_000, 300_000] as const;

/** A line through what was read; a gap where nothing was. */
function line(list: Reading[], name: Name, most: number): string {
  const now = list.at(-1)?.time ?? 0;
  const span = Math.min(Math.max(now - (list[0]?.time ?? now), SPANS[0]), SPANS[1]);
  let path = "";
  let pen = "M";
  for (const reading of list) {
    const value = reading[name];
    if (value === undefined) {
      pen = "M";
      continue;
    }
    const x = WIDTH * (1 - (now - reading.time) / span);
    const y = HEIGHT - 2 - (HEIGHT - 6) * (value / most);
    path += `${pen}${x.toFixed(1)} ${y.toFixed(1)}`;
    pen = "L";
  }
  return path;
}

/** Up to three series over the last five minutes. What a chart shows stands beside it in words. */
export function Chart({ title, series, format }: Chart) {
  const list = readings.value;
  const values = (name: Name) => list.map((reading) => reading[name]).filter((value) => value !== undefined);
  const most = Math.max(...series.flatMap(({ name }) => values(name)), 0) || 1;
  const lately = (name: Name) => values(name).at(-1);
  const summary = series
    .map(({ name, label }) => {
      const last = lately(name);
      return last === undefined ? `${label}: ${t.server.noneYet}.` : t.server.summary(label, format(last), format(Math.max(...values(name))));
    })
    .join(" ");
  return (
    <figure class="chart">
      <figcaption>{title}</figcaption>
      <div class="plot">
        <span class="most" aria-hidden="true">{format(most)}</span>
        <svg viewBox={`0 0 ${WIDTH} ${HEIGHT}`} preserveAspectRatio="none" role="img" aria-label={`${title}. ${summary}`}>
          <path class="grid" d={`M0 ${HEIGHT - 2}H${WIDTH}M0 ${HEIGHT / 2}H${WIDTH}M0 4H${WIDTH}`} />
          {series.map(({ name }, index) => <path key={name} class={`line s${index}`} d={line(list, name, most)} />)}
        </svg>
      </div>
      <ul class="legend">
        {series.map(({ name, label }, index) => {
          const last = lately(name);
          return (
            <li key={name}>
              <span class={`swatch s${index}`} aria-hidden="true" />
              {label} <b>{last === undefined ? "–" : format(last)}</b>
            </li>
          );
        })}
      </ul>
    </figure>
  );
}
