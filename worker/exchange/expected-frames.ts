// Whether a frame was asked for: everything a header says, held against what is wanted now.

import { chunkCount, chunkRange, ownedChunks } from '../../shared/plan/reduction.js';
import type { Rank } from '../../shared/words.js';
import type { FrameHeader } from './frame.js';
import type { Progress } from './progress.js';
import type { CoreWorld } from './pulls.js';

/** What is wanted: `open` has the present nodes of each chunk whose sums were asked for. */
export interface Expected {
  readonly world: CoreWorld;
  readonly progress: Progress;
  readonly open: ReadonlyMap<number, Uint8Array>;
}

/** Why the frame of `from` is refused; undefined when it is wanted. */
export function frameRefusal(
  expected: Expected,
  from: Rank,
  header: FrameHeader,
): string | undefined {
  const { world, progress } = expected;
  const { current } = progress;
  const { kind, generation, step, chunk, floats } = header;
  if (generation !== world.generation) {
    return `a frame of generation ${generation}; this is generation ${world.generation}`;
  }
  if (current === undefined || progress.isComplete || step !== current.step) {
    return `a frame of step ${step}, which is not under way here`;
  }
  if (chunk >= chunkCount(current.floats)) return `chunk ${chunk}, beyond the vector`;
  const { start, end } = chunkRange(chunk, current.floats);
  if (floats !== end - start) return `${floats} floats for chunk ${chunk} of ${end - start}`;
  if (kind === 'reduce') return sumRefusal(expected, from, header);
  return resultRefusal(expected, from, chunk, current.floats);
}

function sumRefusal(
  { world, open }: Expected,
  from: Rank,
  { chunk, start, end }: FrameHeader,
): string | undefined {
  const present = open.get(chunk);
  const node = world.plan.find(start, end);
  if (present === undefined) return `a sum for chunk ${chunk}, which was not asked for`;
  if (node === undefined || world.plan.nodes[node].holder !== from) {
    return `a sum over the leaves [${start}, ${end}), which rank ${from} does not hold`;
  }
  return present[node] === 1 ? `chunk ${chunk} of leaves [${start}, ${end}) twice` : undefined;
}

function resultRefusal(
  { world, progress }: Expected,
  from: Rank,
  chunk: number,
  floats: number,
): string | undefined {
  const theirs = ownedChunks(from, world.worldSize, floats);
  if (chunk < theirs.start || chunk >= theirs.end) {
    return `a result for chunk ${chunk}, which rank ${from} does not own`;
  }
  return progress.isDone(chunk) ? `the result of chunk ${chunk} twice` : undefined;
}
