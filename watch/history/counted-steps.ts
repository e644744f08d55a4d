// Which reports of steps count: those of steps that the run has not gone back behind since. Each
// world says from which step it goes on; so whatever came in an earlier world beyond is given up.

import type { EventLists } from './event-lists.js';
import type { StepRows } from './step-rows.js';

/** What a row of a step is. */
export type RowUse = 'counts' | 'redone' | 'repeated';

/** The uses of all rows. */
export interface CountedSteps {
  /** Rows that count, in the order of steps. */
  readonly rows: Uint32Array;
  use(row: number): RowUse;
  /** Steps that were taken for nothing, and steps that count whose gradients were not finite. */
  readonly redone: number;
  readonly skipped: number;
}

/** From where worlds went on. */
export interface WorldStarts {
  /** Whether a later world went on from a step before this one. */
  isGivenUp(step: number, generation: number): boolean;
  /** Whether the step was taken before its world was there: then it is told again, or late. */
  isEarlier(step: number, generation: number): boolean;
}

/** Taken from where each world says that it goes on from. */
export function worldStartsOf(events: EventLists): WorldStarts {
  const starts = new Map<number, number>();
  for (const { data } of [...events.of('world.rolledBack'), ...events.of('world.formed')])
    starts.set(data.generation, Math.min(data.step, starts.get(data.generation) ?? Infinity));
  const generations = [...starts.keys()].sort((a, b) => a - b);
  /** The least step that this world or a later one started from. */
  const lowest = new Float64Array(generations.length + 1).fill(Infinity);
  for (let i = generations.length - 1; i >= 0; i--)
    lowest[i] = Math.min(lowest[i + 1], starts.get(generations[i]) ?? Infinity);
  let last = { generation: -1, lowest: lowest[0] };
  const lowestAfter = (generation: number): number => {
    if (generation === last.generation) return last.lowest;
    let [low, high] = [0, generations.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (generations[middle] <= generation) low = middle + 1;
      else high = middle;
    }
    last = { generation, lowest: lowest[low] };
    return last.lowest;
  };
  return {
    isGivenUp: (step, generation) => lowestAfter(generation) < step,
    isEarlier: (step, generation) => step <= (starts.get(generation) ?? -1),
  };
}

const uses: readonly RowUse[] = ['counts', 'redone', 'repeated'];
const [counts, redone, repeated] = [0, 1, 2];

/**
 * Of a step's rows the newest counts, unless it is given up. A coordinator that took over is told
 * again what its predecessor knew: then the first telling counts.
 */
export function countSteps(rows: StepRows, starts: WorldStarts): CountedSteps {
  const { step: steps, generation: generations, skipped } = rows;
  const use = new Uint8Array(rows.length);
  const counted = new Uint32Array(rows.length);
  let [count, redoneCount, skippedCount] = [0, 0, 0];
  let taken = -1;
  const settle = (): void => {
    if (taken < 0) return;
    if (starts.isGivenUp(steps[taken], generations[taken])) {
      use[taken] = redone;
      redoneCount++;
      return;
    }
    use[taken] = counts;
    counted[count++] = taken;
    skippedCount += skipped[taken];
  };
  for (const row of rows.byStep()) {
    const [step, generation] = [steps[row], generations[row]];
    if (taken >= 0 && steps[taken] === step) {
      const isGivenUp = starts.isGivenUp(step, generations[taken]);
      if (!isGivenUp && starts.isEarlier(step, generation)) {
        use[row] = repeated;
        continue;
      }
      use[taken] = redone;
      redoneCount++;
    } else settle();
    taken = row;
  }
  settle();
  return {
    rows: counted.subarray(0, count),
    use: (row) => uses[use[row]],
    ...{ redone: redoneCount, skipped: skippedCount },
  };
}
