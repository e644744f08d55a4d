// What all charts of a page have in common: the stretch of the run that they show, by time or by
// step, and the series that are drawn. Whoever zooms one zooms all; a stretch that is looked at
// closely is asked for by itself, so that a long run stays light.

/**
 * @typedef {import('./words.js').SeriesData} SeriesData
 * @typedef {import('./words.js').TimeLine} TimeLine
 * @typedef {import('./words.js').WatchedRun} WatchedRun
 * @typedef {{ readonly min: number, readonly max: number }} Range
 * @typedef {{ readonly run: WatchedRun, readonly series: SeriesData, readonly timeLine: TimeLine,
 *   readonly startMs: number }} RunData
 *
 * `by`: what x is, steps or seconds (since 1970; with several runs since each one's start).
 * @typedef {{
 *   readonly by: 'time' | 'step',
 *   readonly runs: readonly RunData[],
 *   readonly isRelative: boolean,
 *   range(): Range,
 *   readonly isZoomed: boolean,
 *   show(by: 'time' | 'step'): void,
 *   zoomTo(range: Range | undefined): void,
 *   zoomBy(factor: number): void,
 *   moveBy(share: number): void,
 *   subscribe(listener: () => void): () => void,
 *   refresh(): void,
 *   close(): void,
 * }} ChartView
 */

const points = 1_500;
/** A chart does not ask again while it is dragged. */
const settleMs = 150;
const refreshMs = 2_000;

/** @type {SeriesData} */
const noSeries = { step: [], time: [], columns: {}, evaluations: [] };
/** @type {TimeLine} */
const noTimeLine = { worlds: [], happenings: [] };

/**
 * @param {readonly WatchedRun[]} runs
 * @returns {ChartView}
 */
export function createChartView(runs) {
  /** @type {'time' | 'step'} */
  let by = 'time';
  /** By steps of each run, and by x: what is zoomed into. @type {Range | undefined} */
  let zoomed;
  /** @type {readonly { whole: SeriesData, part: SeriesData | undefined, timeLine: TimeLine }[]} */
  let loaded = runs.map(() => ({ whole: noSeries, part: undefined, timeLine: noTimeLine }));
  /** @type {RunData[]} */
  let data = [];
  /** @type {Set<() => void>} */
  const listeners = new Set();
  const isRelative = runs.length > 1;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let timer;
  let [isLoading, isAskedAgain, pauseMs] = [false, false, refreshMs];

  const tell = () => listeners.forEach((listener) => listener());
  const rebuild = () => {
    data = runs.map((run, i) => {
      const { whole, part, timeLine } = loaded[i];
      const startMs = Date.parse(run.picture().started) || whole.time[0] || 0;
      return { run, series: spliced(whole, part), timeLine, startMs };
    });
    tell();
  };
  /** @param {RunData} one @param {Range} range */
  const stepsIn = ({ series, startMs }, { min, max }) => {
    if (by === 'step') return { from: Math.max(0, Math.floor(min)), to: Math.ceil(max) };
    const offset = isRelative ? startMs : 0;
    const [first, last] = [min, max].map((x) => indexOf(series.time, x * 1000 + offset));
    return { from: series.step[first] ?? 0, to: series.step[last] ?? Number.MAX_SAFE_INTEGER };
  };
  const load = async () => {
    if (isLoading) {
      isAskedAgain = true;
      return;
    }
    isLoading = true;
    isAskedAgain = false;
    const startMs = performance.now();
    try {
      loaded = await Promise.all(
        runs.map(async (run, i) => {
          const whole = await run.series({ points });
          const timeLine = await run.timeLine();
          const wanted = zoomed && data[i] && around(stepsIn(data[i], zoomed));
          const part = wanted === undefined ? undefined : await run.series({ points, ...wanted });
          return { whole, part, timeLine };
        }),
      );
      rebuild();
    } catch {
      // Whoever serves the run is away, which the page says; it asks again with the next picture.
    }
    pauseMs = Math.max(refreshMs, 10 * (performance.now() - startMs));
    isLoading = false;
    if (isAskedAgain) loadIn(settleMs);
  };
  /** @param {number} ms */
  const loadIn = (ms) => {
    clearTimeout(timer);
    timer = setTimeout(() => {
      timer = undefined;
      void load();
    }, ms);
  };
  const refresh = () => {
    if (timer === undefined && !isLoading) loadIn(pauseMs);
  };
  const whole = () => {
    const all = data.map((one) => rangeOf(one, by, isRelative)).filter((range) => range.max > 0);
    const [min, max] = [all.map((one) => one.min), all.map((one) => one.max)];
    if (all.length === 0) return { min: 0, max: 1 };
    const range = { min: Math.min(...min), max: Math.max(...max) };
    return range.max > range.min ? range : { min: range.min, max: range.min + 1 };
  };
  /** @param {Range | undefined} range */
  const zoomTo = (range) => {
    const all = whole();
    if (range === undefined || range.max - range.min >= all.max - all.min) zoomed = undefined;
    else {
      const width = Math.max(range.max - range.min, by === 'step' ? 2 : 0.5);
      const min = Math.min(Math.max(range.min, all.min), all.max - width);
      zoomed = { min, max: min + width };
    }
    tell();
    loadIn(settleMs);
  };
  const range = () => zoomed ?? whole();
  const unsubscribe = runs.map((run) => run.subscribe(refresh));
  rebuild();
  void load();
  return {
    get by() {
      return by;
    },
    get runs() {
      return data;
    },
    get isZoomed() {
      return zoomed !== undefined;
    },
    isRelative,
    range,
    show: (next) => {
      if (next === by) return;
      const [first] = data;
      const steps = zoomed && first && stepsIn(first, zoomed);
      by = next;
      zoomed = undefined;
      if (steps !== undefined && first !== undefined) {
        const { series, startMs } = first;
        /** @param {number} step */
        const timeOf = (step) =>
          (series.time[indexOf(series.step, step)] - (isRelative ? startMs : 0)) / 1000;
        const { from, to } = steps;
        zoomTo(next === 'step' ? { min: from, max: to } : { min: timeOf(from), max: timeOf(to) });
      } else tell();
    },
    zoomTo,
    zoomBy: (factor) => {
      const { min, max } = range();
      const [middle, half] = [(min + max) / 2, ((max - min) / 2) * factor];
      zoomTo({ min: middle - half, max: middle + half });
    },
    moveBy: (share) => {
      const { min, max } = range();
      if (zoomed !== undefined)
        zoomTo({ min: min + share * (max - min), max: max + share * (max - min) });
    },
    subscribe: (listener) => {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    refresh,
    close: () => {
      clearTimeout(timer);
      unsubscribe.forEach((end) => end());
    },
  };
}

/**
 * With half as much again on each side, so that moving on finds something.
 * @param {{ readonly from: number, readonly to: number }} steps
 */
function around({ from, to }) {
  if (to === Number.MAX_SAFE_INTEGER) return { from, to };
  const half = Math.ceil((to - from) / 2);
  return { from: Math.max(0, from - half), to: to + half };
}

/**
 * @param {RunData} one
 * @param {'time' | 'step'} by
 * @param {boolean} isRelative
 * @returns {Range}
 */
function rangeOf({ run, series, startMs }, by, isRelative) {
  const { started, time, step } = run.picture();
  if (by === 'step') return { min: 0, max: Math.max(step, series.step.at(-1) ?? 0) };
  const endMs = Math.max(Date.parse(time) || 0, series.time.at(-1) ?? 0);
  const offset = isRelative ? startMs : 0;
  return { min: ((Date.parse(started) || 0) - offset) / 1000, max: (endMs - offset) / 1000 };
}

/**
 * Where a number is, or would be, among numbers in ascending order; the last index at most.
 * @param {readonly number[]} numbers
 * @param {number} wanted
 */
export function indexOf(numbers, wanted) {
  let [low, high] = [0, numbers.length - 1];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (numbers[middle] < wanted) low = middle + 1;
    else high = middle;
  }
  return Math.max(0, low);
}

/**
 * A whole run, with a part of it in more detail.
 * @param {SeriesData} whole
 * @param {SeriesData | undefined} part
 * @returns {SeriesData}
 */
function spliced(whole, part) {
  if (part === undefined || part.step.length === 0) return whole;
  const first = part.step[0];
  const last = part.step[part.step.length - 1];
  const before = whole.step.findIndex((step) => step >= first);
  const after = whole.step.findLastIndex((step) => step <= last) + 1;
  const start = before < 0 ? whole.step.length : before;
  /**
   * @template T
   * @param {readonly T[]} a
   * @param {readonly T[]} b
   */
  const splice = (a, b) => [...a.slice(0, start), ...b, ...a.slice(Math.max(start, after))];
  const names = new Set([...Object.keys(whole.columns), ...Object.keys(part.columns)]);
  const nothing = () => ({
    of: whole.step.map(() => null),
    part: part.step.map(() => null),
  });
  const columns = Object.fromEntries(
    [...names].map((name) => {
      const empty = nothing();
      return [name, splice(whole.columns[name] ?? empty.of, part.columns[name] ?? empty.part)];
    }),
  );
  return {
    step: splice(whole.step, part.step),
    time: splice(whole.time, part.time),
    columns,
    evaluations: whole.evaluations,
  };
}
