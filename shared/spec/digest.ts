// The identity of a spec: equal specs have equal digests, whatever the order of their keys, their
// comments or the way their numbers were written.

import { createHash } from 'node:crypto';
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
  return createHash('sha256').update(canonicalJson(spec)).digest('hex');
}
