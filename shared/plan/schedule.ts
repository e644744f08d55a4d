// When things are due: functions of the step alone, so that all workers agree without a word.

import type { Step } from '../words.js';

/** Whether something that happens every `every` steps is due once `step` is committed; 0: never. */
export function isDue(every: number, step: Step): boolean {
  return every > 0 && step > 0 && step % every === 0;
}
