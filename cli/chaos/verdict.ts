// Whether a run that faults are injected into goes on, has ended, or has failed. Pure.

import { exitCodes } from '../../shared/exit-codes.js';
import type { Sample } from './observation.js';

/** How it ended, or that it did not. */
export interface Verdict {
  readonly kind: 'goes on' | 'ended' | 'failed';
  readonly reason: string;
}

/** What is known beside the last look. */
export interface Evidence {
  /** The last look that somebody answered. */
  readonly known: Sample;
  /** When the step grew last. */
  readonly progressMs: number;
  /** The checkpoint of the run's last step is there. */
  readonly isFinished: boolean;
  /** At least one of the run's processes is there. */
  readonly isAlive: boolean;
}

/** A run that commits nothing for so long has failed. */
export const stallMs = 60_000;

/** Without processes for so long, nobody starts them again. */
export const goneMs = 15_000;

/** How a run has ended, judged by the latest look; undefined while it goes on. */
export function judgeEnd(sample: Sample, evidence: Evidence): Verdict | undefined {
  const { known, progressMs, isFinished, isAlive } = evidence;
  const { status } = sample;
  if (status?.stage === 'ended' && status.exitCode !== exitCodes.superseded) {
    const { exitCode, reason } = status;
    const isWell = exitCode === exitCodes.ok || exitCode === exitCodes.stopped;
    return { kind: isWell ? 'ended' : 'failed', reason };
  }
  if (status === undefined && isFinished)
    return { kind: 'ended', reason: `finished at step ${known.status?.lastStep ?? 0}` };
  if (status === undefined && !isAlive && sample.atMs - known.atMs > goneMs)
    return { kind: 'failed', reason: `its processes are gone, and none was started again` };
  const isBusy = status?.stage === 'finishing';
  if (!isBusy && sample.atMs - progressMs > stallMs)
    return { kind: 'failed', reason: `no step was committed for ${stallMs / 1000} s` };
  return undefined;
}
