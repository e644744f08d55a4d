// Numbers over a stretch of a run, thinned out for drawing so that no spike is lost.

import type { Observation } from './observations.js';
import type { Evaluated, SeriesData } from './picture.js';
import { valueAt, type StepRows } from './step-rows.js';

/** What is to be drawn. */
export interface SeriesRequest {
  readonly points: number;
  readonly from?: number;
  readonly to?: number;
}

/** Most points that are given, whatever is asked for. */
const maxPoints = 20_000;

/** A column that is no number of a step: its value at a row. */
export type DerivedColumn = (row: number) => number | null;

/** The columns of `counted`, rows in the order of steps: those that lie in the request. */
export function seriesOf(
  rows: StepRows,
  counted: Uint32Array,
  evaluations: readonly Evaluated[],
  derived: ReadonlyMap<string, DerivedColumn>,
  { points, from = 0, to = Infinity }: SeriesRequest,
): SeriesData {
  const stepAt = (row: number): number => rows.step[row];
  const first = countBelow(counted, (row) => stepAt(row) < from);
  const end = countBelow(counted, (row) => stepAt(row) <= to);
  const asked = counted.subarray(first, Math.max(first, end));
  const most = Math.min(maxPoints, Math.max(2, Math.floor(points) || 2));
  const stretches = stretchesOf(asked, stepAt, most);
  const columns: Record<string, (number | null)[]> = {};
  for (const name of rows.columnNames()) {
    if (name === 'eta_s') continue;
    const column = rows.column(name);
    columns[name] = thinned(asked, stretches, (row) => valueAt(column, row));
  }
  for (const [name, valueOf] of derived) columns[name] = thinned(asked, stretches, valueOf);
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
function stretchesOf(
  rows: Uint32Array,
  stepAt: (row: number) => number,
  points: number,
): [number, number][] {
  if (rows.length <= points) return Array.from(rows, (_, i) => [i, i + 1]);
  const [low, high] = [stepAt(rows[0]), stepAt(rows[rows.length - 1]) + 1];
  const count = Math.floor(points / 2);
  const stretches: [number, number][] = [];
  let start = 0;
  for (let i = 0; i < count; i++) {
    const border = low + ((high - low) * (i + 1)) / count;
    let stop = start;
    while (stop < rows.length && stepAt(rows[stop]) < border) stop++;
    if (stop > start) stretches.push([start, stop]);
    start = stop;
  }
  return stretches;
}

/** A column's least and greatest value of each stretch, in the order in which they came. */
function thinned(
  rows: Uint32Array,
  stretches: readonly [number, number][],
  valueOf: DerivedColumn,
): (number | null)[] {
  const values: (number | null)[] = [];
  for (const [start, stop] of stretches) {
    let least: number | null = null;
    let greatest: number | null = null;
    let [leastAt, greatestAt] = [start, start];
    for (let i = start; i < stop; i++) {
      const value = valueOf(rows[i]);
      if (value === null) continue;
      if (least === null || value < least) [least, leastAt] = [value, i];
      if (greatest === null || value > greatest) [greatest, greatestAt] = [value, i];
    }
    if (stop - start === 1) values.push(least);
    else if (leastAt <= greatestAt) values.push(least, greatest);
    else values.push(greatest, least);
  }
  return values;
}

/** Bytes that all workers together sent for a step, as they were observed last before it. */
export function bytesColumn(seen: readonly Observation[], rows: StepRows): DerivedColumn {
  let at = 0;
  return (row) => {
    const timeMs = rows.time[row];
    while (at > 0 && seen[at].timeMs > timeMs) at--;
    while (at + 1 < seen.length && seen[at + 1].timeMs <= timeMs) at++;
    return at < seen.length && seen[at].timeMs <= timeMs ? seen[at].bytes : null;
  };
}
