// The world of a run on the same axis as its curves: a bar for each worker from when it was in the
// world until it was not, and marks for what happened.

import { useEffect, useState } from 'preact/hooks';
import uPlot from 'uplot';
import { gutter, pageColours, placeText, plotOptions, usePlot } from 'lockstep-watch/charts';
import { html } from 'lockstep-watch/words';

/**
 * @typedef {import('./chart-parts.js').ChartView} ChartView
 * @typedef {import('./chart-parts.js').RunData} RunData
 * @typedef {import('./words.js').Happening} Happening
 * @typedef {{ readonly worker: string, readonly bars: { from: number, to: number }[] }} Row
 */

/** By kind: a glyph, its colour's number, and what it means. The rest has no mark. */
const marks = /** @type {const} */ ({
  joined: ['▲', 3, 'joined'],
  lost: ['▼', 2, 'lost'],
  drained: ['▽', 4, 'left'],
  term: ['◆', 5, 'coordinator'],
  started: ['▶', 5, 'started'],
  checkpoint: ['●', 1, 'checkpoint'],
  skipped: ['✕', 2, 'step skipped'],
  rolledBack: ['◀', 4, 'rolled back'],
  scaled: ['±', 6, 'scaled'],
  health: ['!', 4, 'health'],
  notice: ['i', 6, 'notice'],
  finished: ['■', 3, 'finished'],
  stopped: ['■', 4, 'stopped'],
  failed: ['■', 2, 'failed'],
});
const drawnOver = ['joined', 'lost', 'drained', 'term', 'rolledBack'];

const lane = 22;
const mostHeight = 360;
/** Marks of a kind that are nearer than this are one. */
const apartPx = 7;
const nearPx = 8;

/**
 * @param {{ readonly view: ChartView, readonly run: RunData }} given
 */
export function WorldLine({ view, run: given }) {
  const [cursor, setCursor] = useState(/** @type {number | null} */ (null));
  const [, setTurn] = useState(0);
  useEffect(() => view.subscribe(() => setTurn((turn) => turn + 1)), [view]);
  const run = view.runs.find((one) => one.run === given.run) ?? given;
  const box = usePlot(
    view,
    (width) => {
      const options = plotOptions(view, {
        ...{ width, height: heightOf(view, run) },
        onCursor: (plot) => {
          const { left } = plot.cursor;
          setCursor(left === undefined || left < 0 ? null : plot.posToVal(left, 'x'));
        },
      });
      const [x] = options.axes ?? [];
      return new uPlot(
        {
          ...options,
          axes: [
            x,
            { size: gutter, values: () => [], grid: { show: false }, ticks: { show: false } },
          ],
          scales: { ...options.scales, y: { range: () => [0, 1] } },
          series: [{}, { show: true, points: { show: false } }],
          hooks: { ...options.hooks, draw: [(plot) => draw(plot, view, current(view, run))] },
        },
        [
          [0, 1],
          [null, null],
        ],
      );
    },
    (plot) => {
      const { min, max } = view.range();
      const height = heightOf(view, current(view, run));
      if (plot.height !== height) plot.setSize({ width: plot.width, height });
      plot.setData([
        [min, max],
        [null, null],
      ]);
    },
  );
  const seen = [...new Set(run.timeLine.happenings.map(({ kind }) => kind))];
  const colours = pageColours().lines;
  const { counts, workers } = run.run.picture();
  const label =
    `Time line of the world: ${workers.length} workers now; ${counts.joined} joined, ` +
    `${counts.lost} lost, ${counts.drained} left, ${counts.checkpoints} checkpoints`;
  const near = cursor === null ? [] : nearTo(view, run, cursor, box.current);
  return html`<section class="chart world">
    <h3>World <small>${cursor === null ? '' : placeText(view, cursor)}</small></h3>
    <ul class="legend marks">
      ${Object.entries(marks)
        .filter(([kind]) => seen.includes(/** @type {Happening['kind']} */ (kind)))
        .map(
          ([, [glyph, colour, text]]) =>
            html`<li><i style=${{ color: colours[colour - 1] }}>${glyph}</i> ${text}</li>`,
        )}
    </ul>
    <div class="plot" ref=${box} role="img" aria-label=${label} />
    <p class="near">
      ${
        near.length === 0
          ? 'What happened is said here when the cursor is on a mark.'
          : near.map((one) => html`<span>${one.text}</span> `)
      }
    </p>
  </section>`;
}

/** @param {ChartView} view @param {RunData} run */
function current(view, run) {
  return view.runs.find((one) => one.run === run.run) ?? run;
}

/** Of a chart in which each worker has its row. @param {ChartView} view @param {RunData} run */
function heightOf(view, run) {
  const count = Math.max(1, rowsOf(view, run).length);
  return lane + count * Math.max(3, Math.min(18, (mostHeight - lane) / count)) + 60;
}

/** @param {ChartView} view @param {RunData} run */
function placer(view, run) {
  const offset = view.isRelative ? run.startMs : 0;
  /** @param {string} time @param {number} step */
  return (time, step) => (view.by === 'step' ? step : (Date.parse(time) - offset) / 1000);
}

/**
 * Each worker's time in the world; stretches that follow on one another are one.
 * @param {ChartView} view
 * @param {RunData} run
 * @returns {Row[]}
 */
function rowsOf(view, run) {
  const place = placer(view, run);
  const { time, step } = run.run.picture();
  /** @type {Map<string, { from: number, to: number }[]>} */
  const rows = new Map();
  for (const world of run.timeLine.worlds) {
    const from = place(world.fromTime, world.fromStep);
    const to = place(world.toTime ?? time, world.toStep ?? step);
    for (const worker of world.workers) {
      const bars = rows.get(worker) ?? [];
      const last = bars.at(-1);
      if (last !== undefined && from <= last.to) last.to = Math.max(last.to, to);
      else bars.push({ from, to });
      rows.set(worker, bars);
    }
  }
  const inOrder = [...rows].sort(([a], [b]) => a.localeCompare(b, 'en', { numeric: true }));
  return inOrder.map(([worker, bars]) => ({ worker, bars }));
}

/**
 * @param {uPlot} plot
 * @param {ChartView} view
 * @param {RunData} run
 */
function draw(plot, view, run) {
  const { ctx, bbox } = plot;
  const scale = devicePixelRatio;
  const rows = rowsOf(view, run);
  const colours = pageColours();
  const top = bbox.top + lane * scale;
  const rowHeight = (bbox.height - lane * scale) / Math.max(1, rows.length);
  const [leftEnd, rightEnd] = [bbox.left, bbox.left + bbox.width];
  /** @param {number} value */
  const toX = (value) => Math.round(plot.valToPos(value, 'x', true));
  ctx.save();
  ctx.font = `${11 * scale}px system-ui, sans-serif`;
  ctx.textBaseline = 'middle';
  rows.forEach(({ worker, bars }, i) => {
    const y = top + i * rowHeight;
    ctx.fillStyle = colours.lines[0];
    for (const { from, to } of bars) {
      const left = Math.max(leftEnd, toX(from));
      const end = Math.min(rightEnd, Math.max(toX(to), left + scale));
      if (end > left) ctx.fillRect(left, y + rowHeight * 0.15, end - left, rowHeight * 0.7);
    }
    if (rowHeight < 11 * scale) return;
    ctx.fillStyle = colours.text;
    ctx.textAlign = 'right';
    const name = worker.length > 8 ? `…${worker.slice(-7)}` : worker;
    ctx.fillText(name, leftEnd - 6 * scale, y + rowHeight / 2);
  });
  drawMarks(plot, view, run);
  ctx.restore();
}

/**
 * @param {uPlot} plot
 * @param {ChartView} view
 * @param {RunData} run
 */
function drawMarks(plot, view, run) {
  const { ctx, bbox } = plot;
  const scale = devicePixelRatio;
  const { lines } = pageColours();
  const place = placer(view, run);
  /** @type {Map<string, number>} */
  const newest = new Map();
  ctx.font = `${12 * scale}px system-ui, sans-serif`;
  ctx.textAlign = 'center';
  for (const { kind, time, step } of run.timeLine.happenings) {
    const mark = kind in marks ? marks[/** @type {keyof typeof marks} */ (kind)] : undefined;
    if (mark === undefined) continue;
    const x = Math.round(plot.valToPos(place(time, step), 'x', true));
    if (x < bbox.left || x > bbox.left + bbox.width) continue;
    if (x - (newest.get(kind) ?? -Infinity) < apartPx * scale) continue;
    newest.set(kind, x);
    const [glyph, colour] = mark;
    ctx.fillStyle = ctx.strokeStyle = lines[colour - 1];
    ctx.fillText(glyph, x, bbox.top + (lane / 2) * scale);
    if (!drawnOver.includes(kind)) continue;
    ctx.lineWidth = scale;
    ctx.beginPath();
    ctx.moveTo(x, bbox.top + lane * scale);
    ctx.lineTo(x, bbox.top + bbox.height);
    ctx.stroke();
  }
}

/**
 * What happened under the cursor; the newest first, four at most.
 * @param {ChartView} view
 * @param {RunData} run
 * @param {number} x
 * @param {HTMLElement | null} box
 * @returns {Happening[]}
 */
function nearTo(view, run, x, box) {
  const place = placer(view, run);
  const { min, max } = view.range();
  const near = ((max - min) / Math.max(100, (box?.clientWidth ?? 600) - gutter)) * nearPx;
  return run.timeLine.happenings
    .filter(({ kind, time, step }) => kind in marks && Math.abs(place(time, step) - x) <= near)
    .slice(-4)
    .reverse();
}
