// Outcomes in words, for a test's diagnostics and the command's lines.

import type { Outcome } from './fault-case.js';

/** "found after 0.12 s, went on after 0.41 s" */
export function describeOutcomes(outcomes: readonly Outcome[]): string {
  const seconds = (ms: number): string => `${(ms / 1000).toFixed(2)} s`;
  return outcomes
    .flatMap(({ foundMs, goneOnMs }) => [
      ...(foundMs === undefined ? [] : [`found after ${seconds(foundMs)}`]),
      ...(goneOnMs === undefined ? [] : [`went on after ${seconds(goneOnMs)}`]),
    ])
    .join(', ');
}
