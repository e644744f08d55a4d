// Whether two specs are equal, whatever the order of their keys, their comments or the way their
// numbers were written, and where they differ.

import { sha256Of } from '../sha256.js';
import type { RunSpec } from './schema.js';

/** JSON with sorted keys and no blanks (RFC 8785 for data without exotic numbers). */
export function canonicalJson(value: unknown): string {
  if (Array.isArray(value))
    return `[${value.map((item) => canonicalJson(item ?? null)).join(',')}]`;
  if (typeof value !== 'object' || value === null) return JSON.stringify(value);
  const members = Object.entries(value)
    .filter(([, item]) => item !== undefined)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([key, item]) => `${JSON.stringify(key)}:${canonicalJson(item)}`);
  return `{${members.join(',')}}`;
}

/** SHA-256 of the canonical JSON of a spec, in hexadecimal. */
export function specDigest(spec: RunSpec): string {
  return sha256Of(canonicalJson(spec));
}

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
