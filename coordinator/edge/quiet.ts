// Says what the workers of a run are doing while nothing else is reported: they may load or compile
// for minutes before there is a step.

import type { RunStatus } from '../../shared/control/admin.js';
import type { ReportLine } from './reporter.js';

/** Seconds without any news after which it is said; then every so often as the last of them. */
const saidAfterS = [2, 10, 30, 60];

/** Quiet for so many times longer than usual is worth a word. */
const usualFactor = 3;

export interface QuietWatch {
  /** Something was reported: a step, or something else. */
  heard(isStep: boolean): void;
  /** Gives the line that is due, if one is. */
  look(status: RunStatus): ReportLine | undefined;
}

/** Watches how long nothing is reported; `nowMs` is any clock. */
export function createQuietWatch(nowMs: () => number): QuietWatch {
  let sinceMs = nowMs();
  /** How long it is quiet between two steps: that is no news. */
  let usualS = 0;
  let said = 0;
  return {
    heard: (isStep) => {
      if (isStep) usualS = Math.max((nowMs() - sinceMs) / 1000, 0.8 * usualS);
      sinceMs = nowMs();
      said = 0;
    },
    look: ({ step, workers }) => {
      const seconds = (nowMs() - sinceMs) / 1000;
      if (workers.length === 0 || seconds < Math.max(dueS(said), usualFactor * usualS))
        return undefined;
      said += 1;
      const active = workers.map(({ worker, activity, stage }) => {
        return { worker, activity: activity === '' ? stage : activity };
      });
      return { kind: 'activity', step, seconds: Math.round(seconds), workers: active };
    },
  };
}

function dueS(said: number): number {
  const last = saidAfterS.length - 1;
  return (
    (saidAfterS[Math.min(said, last)] ?? 0) + Math.max(0, said - last) * (saidAfterS[last] ?? 0)
  );
}
