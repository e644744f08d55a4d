// A line chart as SVG, for the figures in docs/: thin lines, a label beside each, readable on light
// and dark pages alike.

/** One line of a chart; x ascending. */
export interface Series {
  readonly name: string;
  readonly points: readonly (readonly [x: number, y: number])[];
  readonly isDashed?: boolean;
}

const [width, height] = [640, 300];
const plot = { left: 56, top: 32, right: 130, bottom: 40 };
const colours = ['#0b7a4b', '#c2410c', '#1d6fb8', '#8a6d00', '#7c3aed'];
const ticks = 5;

/** The chart of some lines, of which one has two points at least; `xName` says what x counts. */
export function lineChart(title: string, xName: string, series: readonly Series[]): string {
  const points = series.flatMap((line) => line.points);
  const x = scaleOf(
    points.map(([at]) => at),
    plot.left,
    width - plot.right,
  );
  const y = scaleOf(
    points.map(([, at]) => at),
    height - plot.bottom,
    plot.top,
  );
  const lines = series.map((line, i) => drawn(line, colours[i % colours.length], x.place, y.place));
  const labels = spread(
    series.map(({ points: all }) => y.place(all[all.length - 1][1])),
    14,
  ).map((at, i) =>
    label(series[i].name, width - plot.right + 8, at + 4, colours[i % colours.length]),
  );
  const marks = [
    ...x.ticks.map((at) => text(format(at), x.place(at), height - plot.bottom + 16, 'middle')),
    ...y.ticks.map((at) => text(format(at), plot.left - 6, y.place(at) + 4, 'end')),
    ...y.ticks.map(
      (at) =>
        `<path d="M${plot.left} ${round(y.place(at))}H${width - plot.right}" ` +
        'stroke="#808080" stroke-opacity=".3"/>',
    ),
  ];
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" ` +
      `font-family="sans-serif" font-size="12" role="img" aria-label="${escape(title)}">`,
    `<rect width="${width}" height="${height}" fill="#fff"/>`,
    text(title, plot.left, 18, 'start'),
    text(xName, (plot.left + width - plot.right) / 2, height - 6, 'middle'),
    ...marks,
    ...lines,
    ...labels,
    '</svg>\n',
  ].join('\n');
}

interface Scale {
  readonly ticks: readonly number[];
  place(value: number): number;
}

/** Round ticks over the values, and where a value lies between `from` and `to`. */
function scaleOf(values: readonly number[], from: number, to: number): Scale {
  const [low, high] = [Math.min(...values), Math.max(...values)];
  const raw = (high - low || 1) / ticks;
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = power * ([1, 2, 5, 10].find((factor) => factor * power >= raw) ?? 10);
  const [first, last] = [Math.floor(low / step), Math.ceil(high / step)];
  const marks = Array.from({ length: last - first + 1 }, (_, i) => (first + i) * step);
  const [start, end] = [first * step, Math.max(last, first + 1) * step];
  return {
    ticks: marks,
    place: (value) => from + ((value - start) / (end - start)) * (to - from),
  };
}

function drawn(
  { points, isDashed }: Series,
  colour: string,
  x: Scale['place'],
  y: Scale['place'],
): string {
  const path = points.map(([px, py], i) => `${i === 0 ? 'M' : 'L'}${round(x(px))} ${round(y(py))}`);
  const dash = isDashed === true ? ' stroke-dasharray="4 4"' : '';
  return `<path d="${path.join('')}" fill="none" stroke="${colour}" stroke-width="1.5"${dash}/>`;
}

/** Moves places apart that are nearer than `gap`, in their order. */
function spread(places: readonly number[], gap: number): number[] {
  const spreadOut = [...places];
  const order = places.map((_, i) => i).sort((a, b) => places[a] - places[b]);
  order.forEach((at, i) => {
    if (i > 0) spreadOut[at] = Math.max(spreadOut[at], spreadOut[order[i - 1]] + gap);
  });
  return spreadOut;
}

function text(words: string, x: number, y: number, anchor: 'start' | 'middle' | 'end'): string {
  return `<text x="${round(x)}" y="${round(y)}" text-anchor="${anchor}">${escape(words)}</text>`;
}

function label(words: string, x: number, y: number, colour: string): string {
  return `<text x="${round(x)}" y="${round(y)}" fill="${colour}">${escape(words)}</text>`;
}

function round(value: number): number {
  return Math.round(value * 10) / 10;
}

function format(value: number): string {
  return String(Number(value.toPrecision(6)));
}

function escape(words: string): string {
  return words.replace(/[&<>"]/g, (letter) => `&#${letter.charCodeAt(0)};`);
}
