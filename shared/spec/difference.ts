// Where two specs differ, by the keys as the operator writes them. Pure.

import type { RunSpec } from './schema.js';
import { canonicalJson } from './digest.js';

/** A key that has another value in each of two specs; undefined where one lacks it. */
export interface SpecDifference {
  /** "phases.0.steps" */
  readonly key: string;
  readonly left: unknown;
  readonly right: unknown;
}

/** All keys by which two specs differ, in the order of the keys. */
export function specDifferences(left: RunSpec, right: RunSpec): SpecDifference[] {
  return differences('', left, right);
}

function differences(key: string, left: unknown, right: unknown): SpecDifference[] {
  if (!isNested(left) || !isNested(right))
    return textOf(left) === textOf(right) ? [] : [{ key, left, right }];
  const names = [...new Set([...Object.keys(left), ...Object.keys(right)])].sort();
  return names.flatMap((name) =>
    differences(key === '' ? name : `${key}.${name}`, left[name], right[name]),
  );
}

function isNested(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null;
}

function textOf(value: unknown): string | undefined {
  return value === undefined ? undefined : canonicalJson(value);
}
