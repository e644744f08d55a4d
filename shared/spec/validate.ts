// Decides whether a parsed document is a run spec, and lists every problem it has: each key on its
// own by the schema, then the relations between keys. Knows nothing of YAML or files.

import type { z } from 'zod';
import type { Problem } from '../problems.js';
import { allowedAt, keyName, unknownKey, type KeyPath } from './keys.js';
import { relations } from './relations.js';
import { runSpecSchema, type RunSpec } from './schema.js';

export type Validated =
  | { readonly kind: 'valid'; readonly spec: RunSpec }
  | { readonly kind: 'invalid'; readonly problems: readonly Problem[] };

/** Validates a document (plain data). Defaults are filled in; every problem is found. */
export function validateSpec(document: unknown): Validated {
  const parsed = runSpecSchema.safeParse(document);
  if (parsed.success) {
    const problems = relations.flatMap((relation) => relation.check(parsed.data));
    return problems.length === 0
      ? { kind: 'valid', spec: parsed.data }
      : { kind: 'invalid', problems };
  }
  const { issues } = parsed.error;
  const problems = issues.flatMap((issue) => problemsOf(issue, document));
  return { kind: 'invalid', problems: [...problems, ...relationsBeside(issues, document)] };
}

/** The relations that read none of the keys that are wrong. */
function relationsBeside(issues: readonly z.core.$ZodIssue[], document: unknown): Problem[] {
  if (issues.some((issue) => issue.path.length === 0 && issue.code !== 'unrecognized_keys'))
    return [];
  const wrong = new Set(issues.map((issue) => issue.path[0]));
  return relations
    .filter((relation) => !relation.reads.some((key) => wrong.has(key)))
    .flatMap((relation) => relation.check(document as RunSpec));
}

function problemsOf(issue: z.core.$ZodIssue, document: unknown): Problem[] {
  const path = issue.path as KeyPath;
  if (issue.code === 'unrecognized_keys')
    return issue.keys.map((key) => {
      const full = [...path, key];
      return { key: keyName(full), given: valueAt(document, full), ...unknownKey(full) };
    });
  return [{ key: keyName(path), given: valueAt(document, path), allowed: allowedAt(path) }];
}

/** The value at a path of plain data; undefined where there is none. */
function valueAt(document: unknown, path: KeyPath): unknown {
  return path.reduce<unknown>((value, part) => {
    if (typeof value !== 'object' || value === null || !Object.hasOwn(value, part))
      return undefined;
    return (value as Record<string | number, unknown>)[part];
  }, document);
}
