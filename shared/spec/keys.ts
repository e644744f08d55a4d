// What the run spec's schema allows at a key, in words an operator reads. Derived from the schema
// itself, so that there is one list of keys and limits.

import { z } from 'zod';
import { nearMiss } from '../problems.js';
import { runSpecSchema } from './schema.js';

/** Where a value lies in the spec: names of keys, and indexes of lists. */
export type KeyPath = readonly (string | number)[];

/** The part of JSON Schema that zod writes for the run spec. */
interface SchemaNode {
  readonly type?: string;
  readonly properties?: Readonly<Record<string, SchemaNode>>;
  readonly items?: SchemaNode;
  readonly enum?: readonly unknown[];
  readonly const?: unknown;
  readonly minimum?: number;
  readonly maximum?: number;
  readonly exclusiveMinimum?: number;
  readonly exclusiveMaximum?: number;
  readonly multipleOf?: number;
  readonly minItems?: number;
  readonly maxItems?: number;
  readonly description?: string;
  readonly pattern?: string;
}

const root = z.toJSONSchema(runSpecSchema, { io: 'input' }) as SchemaNode;

/** "phases.0.steps" for a path; "the document" for the spec as a whole. */
export function keyName(path: KeyPath): string {
  return path.length === 0 ? 'the document' : path.join('.');
}

/** The schema at a path, or undefined when no spec has such a key. */
export function schemaAt(path: KeyPath): SchemaNode | undefined {
  return path.reduce<SchemaNode | undefined>((node, part) => {
    if (node?.items !== undefined) return /^\d+$/.test(String(part)) ? node.items : undefined;
    const properties = node?.properties ?? {};
    return Object.hasOwn(properties, part) ? properties[part] : undefined;
  }, root);
}

/** What is allowed at a path, as words: "a whole number from 1 to 4096". */
export function allowedAt(path: KeyPath): string {
  const node = schemaAt(path);
  return node === undefined ? 'no such key' : describe(node);
}

/** Why a path leads nowhere: the keys there are in its place, and the nearest of them. */
export function unknownKey(path: KeyPath): { allowed: string; hint?: string } {
  const known = path.findIndex((_, i) => schemaAt(path.slice(0, i + 1)) === undefined);
  const parent = path.slice(0, known);
  const node = schemaAt(parent);
  const place = parent.length === 0 ? 'the spec' : keyName(parent);
  if (node?.items !== undefined) return { allowed: `${place} is a list: use ${place}.0` };
  const keys = Object.keys(node?.properties ?? {});
  if (keys.length === 0) return { allowed: `no key below ${place}, which is ${allowedAt(parent)}` };
  const near = nearMiss(String(path[known]), keys);
  const allowed = `no such key; ${place} has ${keys.join(', ')}`;
  return near === undefined
    ? { allowed }
    : { allowed, hint: `did you mean ${keyName([...parent, near])}?` };
}

function describe(node: SchemaNode): string {
  if (node.description !== undefined) return node.description;
  if (node.const !== undefined) return JSON.stringify(node.const);
  if (node.enum !== undefined) return node.enum.map(String).join(', ');
  if (node.type === 'integer') return describeNumber('a whole number', node);
  if (node.type === 'number') return describeNumber('a number', node);
  if (node.type === 'boolean') return 'true or false';
  if (node.type === 'array')
    return `a list of ${node.minItems ?? 0} to ${node.maxItems ?? 'any number of'}`;
  if (node.type === 'object') return `the keys ${Object.keys(node.properties ?? {}).join(', ')}`;
  return `a text that matches ${node.pattern ?? '.*'}`;
}

function describeNumber(what: string, node: SchemaNode): string {
  const low =
    node.exclusiveMinimum === undefined ? `from ${node.minimum}` : `above ${node.exclusiveMinimum}`;
  const high =
    node.exclusiveMaximum === undefined ? `to ${node.maximum}` : `below ${node.exclusiveMaximum}`;
  const multiple = node.multipleOf === undefined ? '' : `, a multiple of ${node.multipleOf}`;
  return `${what} ${low} ${high}${multiple}`;
}
