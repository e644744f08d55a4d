// What one peer is being served of one step, and whether a request of it is sane: every field of
// it is held against our world, our step and what the peer has asked for already.

import { ownedChunks } from '../../shared/plan/reduction.js';
import type { Rank, Step } from '../../shared/words.js';
import type { Progress } from './progress.js';
import type { CoreWorld, Pull } from './pulls.js';

/** Chunks of one phase: sent up to `next`, asked for up to `asked`, to be asked for up to `end`. */
export interface Lane {
  next: number;
  asked: number;
  readonly end: number;
}

/** What a peer gets of one step. `node` counts the contributions sent of chunk `reduce.next`. */
export interface Serving {
  readonly step: Step;
  readonly floats: number;
  readonly reduce: Lane;
  readonly gather: Lane;
  node: number;
}

/** The lane of the chunks that `owner` owns, nothing asked for yet. */
export function laneOf(world: CoreWorld, owner: Rank, floats: number): Lane {
  const { start, end } = ownedChunks(owner, world.worldSize, floats);
  return { next: start, asked: start, end };
}

/** Whether the peer has asked for frames of the lane that were not sent. */
export function isWaiting(lane: Lane): boolean {
  return lane.next < lane.asked;
}

/**
 * Why `pull` is refused; undefined when it is not. `known` is what the peer was served so far,
 * `serving` what the request belongs to: the same, or a new step's.
 */
export function pullRefusal(
  world: CoreWorld,
  progress: Progress,
  known: Serving | undefined,
  serving: Serving,
  pull: Pull,
): string | undefined {
  const { generation, step, floats, phase, firstChunk, endChunk } = pull;
  if (generation !== world.generation) {
    return `a request of generation ${generation}; this is generation ${world.generation}`;
  }
  if (floats < 1 || floats > world.capacity) {
    return `a vector of ${floats} floats; the world's has ${world.capacity}`;
  }
  if (known !== undefined && step < known.step) return `step ${step} after ${known.step}`;
  if (known !== undefined && step > known.step && !isExhausted(known)) {
    return `step ${step} before it had all of step ${known.step}`;
  }
  if (floats !== serving.floats) {
    return `two lengths for step ${step}: ${serving.floats} and ${floats}`;
  }
  const lane = serving[phase];
  if (firstChunk !== lane.asked || endChunk <= lane.asked || endChunk > lane.end) {
    return `${phase} of chunks [${firstChunk}, ${endChunk}); next are [${lane.asked}, ${lane.end})`;
  }
  return agreement(progress, step, floats, phase === 'gather');
}

/**
 * Why a peer at `step` does not agree with ours: it may be one step ahead, or one behind when it
 * only gathers (see send.ts).
 */
export function agreement(
  { current, previous }: Progress,
  step: Step,
  floats: number,
  onlyGathers: boolean,
): string | undefined {
  if (current === undefined || step === current.step + 1) return undefined;
  const ours = step === current.step ? current : onlyGathers ? previous : undefined;
  if (ours?.step !== step) return `step ${step}; this worker is at step ${current.step}`;
  if (ours.floats === floats) return undefined;
  return `${floats} floats at step ${step}; this worker has ${ours.floats}`;
}

function isExhausted({ reduce, gather }: Serving): boolean {
  return reduce.next === reduce.end && gather.next === gather.end;
}
