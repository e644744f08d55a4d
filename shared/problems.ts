// An operator's mistake is a list of problems, each with the key, the value given and what is
// allowed, all found and printed before anything is read or written. Beside it: a guess at what a
// misspelt name meant, and what is masked or blanked in any text that is shown.

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

/** A file that is wrong in ten thousand places is told in so many lines. */
const mostProblems = 100;

/** Letters of a key, and of what is allowed there: a file may have put its own text into both. */
const mostLetters = { key: 300, allowed: 2_000 } as const;

/**
 * Thrown for an operator's mistake; carries every problem found, never just the first. Of more than
 * a hundred, the last one says how many are left out.
 */
export class OperatorError extends Error {
  readonly problems: readonly Problem[];
  readonly exitCode: ExitCode = exitCodes.configuration;

  constructor(what: string, problems: readonly Problem[]) {
    const told = atMostProblems(problems);
    super([what, ...told.map(formatProblem)].join('\n  - '));
    this.name = 'OperatorError';
    this.problems = told;
  }
}

function atMostProblems(problems: readonly Problem[]): readonly Problem[] {
  const more = problems.length - mostProblems;
  if (more <= 0) return problems;
  const rest = { key: 'more', given: `${more} more problems`, allowed: 'none' };
  return [...problems.slice(0, mostProblems), rest];
}

/** "batch.size: given 0; allowed: a whole number from 1 to 4096" */
export function formatProblem(problem: Problem): string {
  const given = problem.given === undefined ? 'missing' : `given ${show(problem.given)}`;
  const { key, allowed, hint } = problem;
  const [place, words] = [clip(key, mostLetters.key), clip(allowed, mostLetters.allowed)];
  const advice = hint === undefined ? '' : ` (${hint.split('\n').map(printable).join('\n')})`;
  return `${printable(place)}: ${given}; allowed: ${printable(words)}${advice}`;
}

function show(value: unknown): string {
  const isOddNumber = typeof value === 'number' && !Number.isFinite(value);
  const text = (isOddNumber ? undefined : JSON.stringify(value)) ?? String(value);
  return printable(clip(text, 120));
}

/** The text, or its beginning and "..." in so many letters. */
export function clip(text: string, most: number): string {
  return text.length > most ? `${text.slice(0, most - 3)}...` : text;
}

/** What a zod schema has against a value, in one short line: "parts.0.bytes: Too small". */
export function firstIssue(error: {
  readonly issues: readonly { readonly path: readonly PropertyKey[]; readonly message: string }[];
}): string {
  const [{ path, message } = { path: [], message: 'not as it should be' }] = error.issues;
  const place = path.map(String).join('.');
  return printable(`${place === '' ? 'the whole' : clip(place, 200)}: ${clip(message, 300)}`);
}

/** The candidate nearest to `given`, if it is near enough to be a slip; case is ignored. */
export function nearMiss(given: string, candidates: readonly string[]): string | undefined {
  const limit = Math.ceil(given.length / 3);
  const ranked = candidates
    .map((candidate) => ({ candidate, distance: editDistance(given, candidate) }))
    .sort((a, b) => a.distance - b.distance);
  const best = ranked[0];
  return best !== undefined && best.distance <= limit ? best.candidate : undefined;
}

/** Levenshtein distance of the first 64 letters, by the usual two-row table. */
function editDistance(left: string, right: string): number {
  const a = left.slice(0, 64).toLowerCase();
  const b = right.slice(0, 64).toLowerCase();
  let above = Array.from({ length: b.length + 1 }, (_, i) => i);
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    for (let j = 1; j <= b.length; j++) {
      const replaced = (above[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1);
      row.push(Math.min(replaced, (above[j] ?? 0) + 1, (row[j - 1] ?? 0) + 1));
    }
    above = row;
  }
  return above[b.length] ?? 0;
}

/** Texts that carry a secret: user and password of a url, AWS key ids, signatures of a query. */
const secretTexts: readonly (readonly [RegExp, string])[] = [
  [/:\/\/[^\s/@"]{1,512}@/g, '://***@'],
  // A password that was not escaped may have slashes and more in it.
  [/\b(nats|tls|https?|wss?):\/\/[^\s"]{1,512}@/g, '$1://***@'],
  [/\b(?:AKIA|ASIA)[0-9A-Z]{16}\b/g, '***'],
  [/(X-Amz-(?:Signature|Credential|Security-Token)=)[^&\s"]+/g, '$1***'],
];

/** The text with everything that looks like a secret masked. */
export function maskSecrets(text: string): string {
  return secretTexts.reduce((masked, [pattern, by]) => masked.replace(pattern, by), text);
}

/** An address without what stands before its last @, which may be a password, whatever is in it. */
export function withoutLogin(url: string): string {
  return url.replace(/^(\w*:?\/{0,2}).*@/s, '$1***@');
}

/**
 * A stranger's text as it may be shown on a terminal, in a log or in a status: what controls a
 * terminal, or the direction of what follows, is a blank.
 */
export function printable(text: string): string {
  return text.replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]+ */gu, ' ');
}

/** What an error says; anything else that was thrown, as text. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
