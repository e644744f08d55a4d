// A chart of numbers over the run: lines by uPlot, with a legend that reads what is under the
// cursor. All charts of a page share the stretch shown and the cursor.

import { useEffect, useRef, useState } from 'preact/hooks';
import uPlot from 'uplot';
import { countText, durationText, figureText, html, momentText } from 'lockstep-watch/words';

/**
 * @typedef {import('./chart-parts.js').ChartView} ChartView
 * @typedef {import('./chart-parts.js').RunData} RunData
 *
 * A line of a chart: its label, the number of its colour, and its values.
 * @typedef {{ readonly label: string, readonly colour: number, readonly isDashed?: boolean,
 *   values(run: RunData): readonly (number | null)[] }} Line
 */

/** Left of the plot, so that all plots of a page begin at the same place. */
export const gutter = 56;
const right = 12;

/** Colours of the page as a canvas needs them. */
export function pageColours() {
  const style = getComputedStyle(document.documentElement);
  /** @param {string} name */
  const read = (name) => style.getPropertyValue(name).trim();
  return {
    text: read('--pico-muted-color') || '#555',
    grid: read('--pico-muted-border-color') || '#ddd',
    lines: [1, 2, 3, 4, 5, 6].map((number) => read(`--line-${number}`) || '#06c'),
  };
}

/**
 * A logarithmic axis leaves most of its ticks without a number.
 * @param {number | null} value
 */
function tickText(value) {
  return value === null ? '' : figureText(value);
}

/**
 * What uPlot is told for every chart of a page.
 * @param {ChartView} view
 * @param {{ readonly width: number, readonly height: number, onCursor(plot: uPlot): void }} more
 * @returns {Omit<uPlot.Options, 'series'>}
 */
export function plotOptions(view, { width, height, onCursor }) {
  const { text, grid } = pageColours();
  const isClock = view.by === 'time' && !view.isRelative;
  const axis = {
    stroke: text,
    grid: { stroke: grid, width: 1 },
    ticks: { stroke: grid, width: 1 },
  };
  const font = '12px system-ui, sans-serif';
  /** @type {uPlot.Axis.Values} */
  const values = (_plot, splits) =>
    splits.map((x) => (view.by === 'step' ? countText(x) : durationText(Math.max(0, x))));
  return {
    ...{ width, height, padding: [8, right, 0, 0], legend: { show: false } },
    scales: {
      x: {
        time: isClock,
        range: () => {
          const { min, max } = view.range();
          return [min, max];
        },
      },
    },
    axes: [
      { ...axis, font, space: 70, ...(isClock ? {} : { values }) },
      { ...axis, font, size: gutter, values: (_plot, splits) => splits.map(tickText) },
    ],
    cursor: {
      drag: { x: true, y: false, setScale: false },
      // One cursor over all; only the chart under the pointer zooms.
      sync: { key: 'run', filters: { pub: (type) => /^mouse(move|enter|leave)$/.test(type) } },
      bind: {
        dblclick: () => () => {
          view.zoomTo(undefined);
          return null;
        },
      },
    },
    hooks: {
      setCursor: [onCursor],
      setSelect: [
        (plot) => {
          const { left, width: wide } = plot.select;
          if (wide < 4) return;
          const [min, max] = [left, left + wide].map((x) => plot.posToVal(x, 'x'));
          plot.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
          view.zoomTo({ min, max });
        },
      ],
    },
  };
}

/**
 * Keeps a uPlot in an element as long as the component lives: made again when what x is, or the
 * colours, change, and fed again when the view changes.
 * @param {ChartView} view
 * @param {(width: number) => uPlot} make
 * @param {(plot: uPlot) => void} feed
 */
export function usePlot(view, make, feed) {
  /** @type {import('preact').RefObject<HTMLDivElement>} */
  const box = useRef(null);
  const current = useRef({ make, feed });
  current.current = { make, feed };
  useEffect(() => {
    const element = box.current;
    if (element === null) return undefined;
    /** @type {uPlot | undefined} */
    let plot;
    let by = view.by;
    const remake = () => {
      plot?.destroy();
      by = view.by;
      plot = current.current.make(Math.max(100, element.clientWidth));
      element.append(plot.root);
      current.current.feed(plot);
    };
    const update = () => {
      if (plot === undefined || by !== view.by) remake();
      else current.current.feed(plot);
    };
    const resized = new ResizeObserver(() => {
      const width = element.clientWidth;
      if (plot !== undefined && width > 0 && Math.abs(width - plot.width) > 1)
        plot.setSize({ width, height: plot.height });
    });
    const scheme = matchMedia('(prefers-color-scheme: dark)');
    remake();
    resized.observe(element);
    scheme.addEventListener('change', remake);
    const forget = view.subscribe(update);
    return () => {
      forget();
      resized.disconnect();
      scheme.removeEventListener('change', remake);
      plot?.destroy();
    };
  }, [view]);
  return box;
}

/**
 * @param {{ readonly view: ChartView, readonly title: string, readonly lines: readonly Line[],
 *   readonly rows: 'steps' | 'evaluations', readonly unit?: string, readonly empty: string,
 *   readonly isLog?: boolean }} given
 */
export function Chart({ view, title, lines: given, rows, unit = '', empty, isLog = false }) {
  const lines = isLog ? given.map(aboveZero) : given;
  /** @type {[number | null, (index: number | null) => void]} */
  const [cursor, setCursor] = useState(/** @type {number | null} */ (null));
  const [, setTurn] = useState(0);
  useEffect(() => view.subscribe(() => setTurn((turn) => turn + 1)), [view]);
  const drawn = view.runs.flatMap((run, place) => lines.map((line) => ({ run, line, place })));
  const data = tableOf(view, rows, lines);
  const isEmpty = data.slice(1).every((column) => column.every((value) => value == null));
  const colours = pageColours().lines;
  const isDark = matchMedia('(prefers-color-scheme: dark)').matches;
  const box = usePlot(
    view,
    (width) => {
      const options = plotOptions(view, {
        ...{ width, height: width < 480 ? 150 : 180 },
        onCursor: ({ cursor: { idx } }) => setCursor(idx ?? null),
      });
      return new uPlot(
        {
          ...options,
          scales: { ...options.scales, y: { distr: isLog ? 3 : 1 } },
          series: [
            {},
            ...drawn.map(({ line, place }) => ({
              stroke: pageColours().lines[line.colour - 1],
              ...{ width: 1.5, spanGaps: true },
              points: { show: rows === 'evaluations', size: 4 },
              dash: line.isDashed === true ? [6, 4] : place > 0 ? [2, 2 + place] : [],
            })),
          ],
        },
        /** @type {any} */ (tableOf(view, rows, lines)),
      );
    },
    (plot) => plot.setData(/** @type {any} */ (tableOf(view, rows, lines))),
  );
  const xs = /** @type {number[]} */ (data[0]);
  const at = cursor !== null && cursor < xs.length ? placeText(view, xs[cursor]) : 'newest';
  /** @param {readonly (number | null | undefined)[]} column */
  const valueOf = (column) =>
    cursor === null ? column.findLast((value) => value != null) : column[cursor];
  const rowsOfLegend = drawn
    .map(({ run, line }, i) => ({ run, line, value: valueOf(data[i + 1] ?? []), i }))
    .filter(({ i }) => data[i + 1]?.some((value) => value != null));
  return html`<section class="chart" data-dark=${isDark}>
    <h3>${title} <small>${isEmpty ? '' : at}</small></h3>
    ${isEmpty ? html`<p class="empty">${empty}</p>` : null}
    <ul class="legend">
      ${rowsOfLegend.map(
        ({ run, line, value }) =>
          html`<li>
            <i
              class=${line.isDashed ? 'dashed' : ''}
              style=${{ color: colours[line.colour - 1] }}
            />
            ${view.runs.length > 1 ? `${run.run.name}: ` : ''}${line.label}${' '}
            <b>${figureText(value)}${value == null ? '' : unit}</b>
          </li>`,
      )}
    </ul>
    <div class="plot" ref=${box} role="img" aria-label=${labelOf(title, rowsOfLegend, unit)} />
  </section>`;
}

/**
 * A logarithmic axis has no place for the rest.
 * @param {Line} line
 * @returns {Line}
 */
function aboveZero(line) {
  const isAbove = (/** @type {number | null} */ value) => value !== null && value > 0;
  return { ...line, values: (run) => line.values(run).map((one) => (isAbove(one) ? one : null)) };
}

/**
 * @param {string} title
 * @param {readonly { line: Line, value: number | null | undefined }[]} rows
 * @param {string} unit
 */
function labelOf(title, rows, unit) {
  const values = rows.map(({ line, value }) => `${line.label} ${figureText(value)}${unit}`);
  return `Chart of ${title}: ${values.join(', ') || 'nothing yet'}`;
}

/**
 * "step 1,200", "12:30:05", "after 3 min 20 s"
 * @param {ChartView} view
 * @param {number} x
 */
export function placeText(view, x) {
  if (view.by === 'step') return `step ${countText(Math.round(x))}`;
  return view.isRelative ? `after ${durationText(x)}` : momentText(x * 1000);
}

/**
 * x, and then the lines of each run, as uPlot takes them.
 * @param {ChartView} view
 * @param {'steps' | 'evaluations'} rows
 * @param {readonly Line[]} lines
 * @returns {(readonly (number | null | undefined)[])[]}
 */
function tableOf(view, rows, lines) {
  const tables = view.runs.map((run) => {
    const { series, startMs } = run;
    const offset = view.isRelative ? startMs : 0;
    const isSteps = rows === 'steps';
    const steps = isSteps ? series.step : series.evaluations.map(({ step }) => step);
    const times = isSteps ? series.time : series.evaluations.map(({ time }) => Date.parse(time));
    const x = view.by === 'step' ? [...steps] : times.map((time) => (time - offset) / 1000);
    // What comes later stands further right, whatever the clocks of two coordinators say.
    for (let i = 1; i < x.length; i++) x[i] = Math.max(x[i], x[i - 1]);
    return [x, ...lines.map((line) => line.values(run))];
  });
  if (tables.length === 1) return tables[0];
  if (tables.length === 0) return [[]];
  return /** @type {any} */ (uPlot.join(/** @type {any} */ (tables)));
}

/**
 * The values of a column of the steps.
 * @param {string} name
 * @returns {(run: RunData) => readonly (number | null)[]}
 */
export function column(name) {
  return ({ series }) => series.columns[name] ?? series.step.map(() => null);
}

/**
 * A number of the evaluations.
 * @param {'psnr' | 'ssim' | 'bicubic_psnr' | 'bicubic_ssim'} name
 * @returns {(run: RunData) => readonly (number | null)[]}
 */
export function evaluated(name) {
  return ({ series }) => series.evaluations.map((one) => one[name]);
}
