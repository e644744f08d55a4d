// How far this worker is in its step: the one state that the receiving and the sending half of
// the core share. References only (chunk numbers), no values.

import { chunkCount } from '../../shared/plan/reduction.js';
import type { Step } from '../../shared/words.js';

/** A step and the length of the vector in use at it. */
export interface StepLength {
  readonly step: Step;
  readonly floats: number;
}

/** The chunks of the present step that hold reduced values here. */
export interface Progress {
  /** The step begun last; undefined before the first. */
  readonly current: StepLength | undefined;
  /** The step before it, which is complete here by definition. */
  readonly previous: StepLength | undefined;
  readonly isComplete: boolean;
  begin(next: StepLength): void;
  isDone(chunk: number): boolean;
  setDone(chunk: number): void;
}

/** Progress of a world that has not begun a step. Steps follow each other by one. */
export function createProgress(): Progress {
  let current: StepLength | undefined;
  let previous: StepLength | undefined;
  let done = new Uint8Array(0);
  let missing = 0;
  return {
    get current() {
      return current;
    },
    get previous() {
      return previous;
    },
    get isComplete() {
      return missing === 0;
    },
    begin(next) {
      if (missing > 0) throw new Error(`step ${next.step} begun before ${current!.step} is done`);
      if (current !== undefined && next.step !== current.step + 1) {
        throw new Error(`step ${next.step} begun after step ${current.step}`);
      }
      previous = current;
      current = next;
      missing = chunkCount(next.floats);
      done = new Uint8Array(missing);
    },
    isDone: (chunk) => done[chunk] === 1,
    setDone(chunk) {
      if (done[chunk] !== 0) throw new Error(`chunk ${chunk} done twice`);
      done[chunk] = 1;
      missing -= 1;
    },
  };
}
