// Whole numbers that an operator gives, checked before anything is done with them.

import { OperatorError, type Problem } from '../shared/problems.js';

const largest = 4096;

/** Throws OperatorError titled `what` unless every count is a whole number from 1 to 4096. */
export function requireCounts(what: string, counts: Readonly<Record<string, number>>): void {
  const problems = Object.entries(counts)
    .filter(([, n]) => !Number.isInteger(n) || n < 1 || n > largest)
    .map(([key, given]): Problem => {
      return { key, given, allowed: `a whole number from 1 to ${largest}` };
    });
  if (problems.length > 0) throw new OperatorError(what, problems);
}
