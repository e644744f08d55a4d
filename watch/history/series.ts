// Numbers over a stretch of a run, thinned out for drawing so that no spike is lost.

import type { Observation } from './observations.js';
import type { Evaluated, SeriesData } from './picture.js';
import { missing, type StepRows } from './step-rows.js';

/** What is to be drawn. */
export interface SeriesRequest {
  readonly points: number;
  readonly from?: number;
  readonly to?: number;
}

/** Most points that are given, whatever is asked for. */
const maxPoints = 20_000;

/** The columns of `counted`, rows in the order of steps: those that lie in the request. */
export function seriesOf(
  rows: StepRows,
  counted: Uint32Array,
  evaluations: readonly Evaluated[],
  derived: ReadonlyMap<string, Float64Array>,
  { points, from = 0, to = Infinity }: SeriesRequest,
): SeriesData {
  const stepAt = (row: number): number => rows.step[row];
  const first = countBelow(counted, (row) => stepAt(row) < from);
  const end = countBelow(counted, (row) => stepAt(row) <= to);
  const asked = counted.subarray(first, Math.max(first, end));
  const most = Math.min(maxPoints, Math.max(2, Math.floor(points) || 2));
  const stretches = stretchesOf(asked, rows.step, most);
  const columns: Record<string, (number | null)[]> = {};
  for (const name of rows.columnNames()) {
    if (name === 'eta_s') continue;
    const column = rows.column(name);
    if (column !== undefined) columns[name] = thinned(asked, stretches, column);
  }
  for (const [name, column] of derived) columns[name] = thinned(asked, stretches, column);
  const ends = stretches.flatMap(([start, stop]) =>
    stop - start === 1 ? [asked[start]] : [asked[start], asked[stop - 1]],
  );
  return {
    step: ends.map(stepAt),
    time: ends.map((row) => rows.time[row]),
    columns,
    evaluations: evaluations.filter(({ step }) => step >= from && step <= to),
  };
}

/** How many of the rows, which are in order, come before the first that `isBefore` refuses. */
function countBelow(rows: Uint32Array, isBefore: (row: number) => boolean): number {
  let [low, high] = [0, rows.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (isBefore(rows[middle])) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** [start, stop) of rows: each row by itself if all fit, else as many as give two points each. */
function stretchesOf(rows: Uint32Array, step: Float64Array, points: number): [number, number][] {
  if (rows.length <= points) return Array.from(rows, (_, i) => [i, i + 1]);
  const [low, high] = [step[rows[0]], step[rows[rows.length - 1]] + 1];
  const count = Math.floor(points / 2);
  const stretches: [number, number][] = [];
  let start = 0;
  for (let i = 0; i < count; i++) {
    const border = low + ((high - low) * (i + 1)) / count;
    let stop = start;
    while (stop < rows.length && step[rows[stop]] < border) stop++;
    if (stop > start) stretches.push([start, stop]);
    start = stop;
  }
  return stretches;
}

/** A column's least and greatest value of each stretch, in the order in which they came. */
function thinned(
  rows: Uint32Array,
  stretches: readonly [number, number][],
  column: Float64Array,
): (number | null)[] {
  const values: (number | null)[] = [];
  for (const [start, stop] of stretches) {
    let [least, greatest] = [Infinity, -Infinity];
    let [leastAt, greatestAt] = [start, start];
    for (let i = start; i < stop; i++) {
      const value = column[rows[i]];
      // What is missing compares with nothing; what was not finite is infinite.
      if (value < least) [least, leastAt] = [value, i];
      if (value > greatest && value < Infinity) [greatest, greatestAt] = [value, i];
    }
    const [first, last] = leastAt <= greatestAt ? [least, greatest] : [greatest, least];
    values.push(finiteOrNull(first));
    if (stop - start > 1) values.push(finiteOrNull(last));
  }
  return values;
}

function finiteOrNull(value: number): number | null {
  return Number.isFinite(value) ? value : null;
}

/** Bytes that all workers together sent for a step, as they were observed last before it. */
export function bytesColumn(seen: readonly Observation[], rows: StepRows): Float64Array {
  const column = new Float64Array(rows.length).fill(missing);
  let at = -1;
  for (const row of rows.byTime()) {
    while (at + 1 < seen.length && seen[at + 1].timeMs <= rows.time[row]) at++;
    if (at >= 0) column[row] = seen[at].bytes;
  }
  return column;
}
