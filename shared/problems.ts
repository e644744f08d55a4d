// An operator's mistake is a list of problems, each with the key, the value given and what is
// allowed, all found and printed before anything is read or written.

import { exitCodes, type ExitCode } from './exit-codes.js';

/** One thing that is wrong with what the operator gave. */
export interface Problem {
  /** Where: a key path of the spec ("batch.size"), a flag ("--workers"), a file name. */
  readonly key: string;
  /** The value given, as it was given; undefined when it is missing. */
  readonly given: unknown;
  /** What is allowed there, as words. */
  readonly allowed: string;
  /** What to do about it, when that is not obvious. */
  readonly hint?: string;
}

/** Thrown for an operator's mistake; carries every problem found, never just the first. */
export class OperatorError extends Error {
  readonly problems: readonly Problem[];
  readonly exitCode: ExitCode = exitCodes.configuration;

  constructor(what: string, problems: readonly Problem[]) {
    super([what, ...problems.map(formatProblem)].join('\n  - '));
    this.name = 'OperatorError';
    this.problems = problems;
  }
}

/** "batch.size: given 0; allowed: a whole number from 1 to 4096" */
export function formatProblem(problem: Problem): string {
  const given = problem.given === undefined ? 'missing' : `given ${show(problem.given)}`;
  const hint = problem.hint === undefined ? '' : ` (${problem.hint})`;
  return `${problem.key}: ${given}; allowed: ${problem.allowed}${hint}`;
}

function show(value: unknown): string {
  const text = JSON.stringify(value) ?? String(value);
  return text.length > 120 ? `${text.slice(0, 117)}...` : text;
}
