// Whole numbers that an operator gives, checked before anything is done with them.

import { OperatorError, type Problem } from '../shared/problems.js';

/** By the key: the number given, if any, the least and, if there is one, the most allowed. */
export type NumberRanges = Readonly<
  Record<string, readonly [given: number | undefined, least: number, most?: number]>
>;

/** A problem for each number that is not whole, or out of its range. */
export function rangeProblems(ranges: NumberRanges): Problem[] {
  return Object.entries(ranges).flatMap(([key, [given, least, most]]): Problem[] => {
    if (given === undefined) return [];
    if (Number.isSafeInteger(given) && given >= least && given <= (most ?? given)) return [];
    const end = most === undefined ? 'up' : `to ${most}`;
    return [{ key, given, allowed: `a whole number from ${least} ${end}` }];
  });
}

/** Throws an OperatorError titled `what` with all those problems. */
export function requireRanges(what: string, ranges: NumberRanges): void {
  const problems = rangeProblems(ranges);
  if (problems.length > 0) throw new OperatorError(what, problems);
}

/** "1,2" as numbers; what is none is NaN, which no range has. */
export function numberList(text: string): number[] {
  return text.split(',').map((one) => (one.trim() === '' ? NaN : Number(one)));
}

/** A range for each number of a list, named after the number: "--workers 2". */
export function eachInRange(
  key: string,
  given: readonly number[],
  least: number,
  most: number,
): NumberRanges {
  return Object.fromEntries(given.map((one) => [`${key} ${one}`, [one, least, most] as const]));
}
