// How a run gets on while faults are injected: its steps, its pace before the first fault, and
// what the faults cost. Pure; times are those of the looks.

import type { Sample } from './observation.js';

interface Mark {
  readonly atMs: number;
  readonly step: number;
}

/** What was seen of the steps. */
export interface RunProgress {
  /** The first and the last time that the step grew before the first fault. */
  readonly calm: readonly [Mark | undefined, Mark | undefined];
  /** The run when the first fault struck. */
  readonly struck: Mark | undefined;
  /** The last time that the step grew, or the first look. */
  readonly last: Mark | undefined;
}

/** Before anything was seen. */
export const noProgress: RunProgress = {
  calm: [undefined, undefined],
  struck: undefined,
  last: undefined,
};

/** Takes one more look into account. */
export function observeProgress(progress: RunProgress, { atMs, status }: Sample): RunProgress {
  if (status === undefined) return progress;
  const { calm, struck, last } = progress;
  const mark = { atMs, step: status.step };
  if (last === undefined) return { ...progress, last: mark };
  // Set back to a checkpoint, it has yet to get on.
  if (mark.step <= last.step)
    return mark.step < last.step ? { ...progress, last: { ...last, step: mark.step } } : progress;
  if (struck !== undefined) return { ...progress, last: mark };
  return { ...progress, last: mark, calm: [calm[0] ?? mark, mark] };
}

/** Notes that the first fault strikes; later ones change nothing. */
export function strikeProgress(progress: RunProgress, atMs: number): RunProgress {
  const { struck, last } = progress;
  if (struck !== undefined) return progress;
  return { ...progress, struck: { atMs, step: last?.step ?? 0 } };
}

/** The figures of a run under faults; undefined where too little was seen. */
export interface Cost {
  readonly steps: number;
  readonly seconds: number;
  readonly calmStepsPerS: number | undefined;
  /** Steps as a part of those that it would have taken undisturbed. */
  readonly goodput: number | undefined;
}

/** What the faults cost until `endMs`. */
export function costOf({ calm, struck, last }: RunProgress, endMs: number): Cost {
  const [first, second] = calm;
  const calmMs = (second?.atMs ?? 0) - (first?.atMs ?? 0);
  const calmSteps = (second?.step ?? 0) - (first?.step ?? 0);
  const calmStepsPerS = calmMs > 0 ? (1000 * calmSteps) / calmMs : undefined;
  if (struck === undefined || last === undefined)
    return { steps: 0, seconds: 0, calmStepsPerS, goodput: undefined };
  const [steps, seconds] = [last.step - struck.step, (endMs - struck.atMs) / 1000];
  const isKnown = calmStepsPerS !== undefined && seconds > 0;
  return {
    ...{ steps, seconds, calmStepsPerS },
    goodput: isKnown ? steps / (calmStepsPerS * seconds) : undefined,
  };
}
