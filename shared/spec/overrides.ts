// Overrides (`--set key.path=value`): what they mean, and how they change a YAML document in
// place, so that its comments stay.

import { isCollection, isSeq, parse, type Document } from 'yaml';
import type { Problem } from '../problems.js';
import { keyName, schemaAt, unknownKey, type KeyPath } from './keys.js';

/** An override as the operator wrote it: "batch.size=8", "phases.0.steps=100". */
export type Override = string;

/** Applies overrides in order to a document; returns a problem for each that can't be applied. */
export function applyOverrides(document: Document, overrides: readonly Override[]): Problem[] {
  return overrides.flatMap((override) => applyOverride(document, override));
}

function applyOverride(document: Document, override: Override): Problem[] {
  const equals = override.indexOf('=');
  if (equals < 1 || override.length > 4096)
    return [{ key: '--set', given: override, allowed: 'key.path=value, for example batch.size=8' }];
  const text = override.slice(equals + 1);
  const path = override.slice(0, equals).trim().split('.').map(pathPart);
  if (schemaAt(path) === undefined)
    return [{ key: `--set ${keyName(path)}`, given: text, ...unknownKey(path) }];
  return setValue(document, path, text);
}

function setValue(document: Document, path: KeyPath, text: string): Problem[] {
  const key = `--set ${keyName(path)}`;
  const parent = document.getIn(path.slice(0, -1), true);
  const index = path.at(-1);
  if (isSeq(parent) && typeof index === 'number' && index > parent.items.length)
    return [{ key, given: text, allowed: `an index from 0 to ${parent.items.length}` }];
  if (!isCollection(parent))
    return [{ key, given: text, allowed: `${keyName(path.slice(0, -1))} must be there first` }];
  const value = parseValue(path, text);
  if (value === undefined) return [{ key, given: text, allowed: 'a value that is valid YAML' }];
  document.setIn(path, value);
  return [];
}

/** A text stays as it is where the spec wants a text; all else is read as YAML. */
function parseValue(path: KeyPath, text: string): unknown {
  const schema = schemaAt(path);
  if (schema?.type === 'string' && schema.enum === undefined) return text;
  try {
    return parse(text, { maxAliasCount: 0, logLevel: 'error' }) as unknown;
  } catch {
    return undefined;
  }
}

function pathPart(part: string): string | number {
  return /^\d{1,6}$/.test(part) ? Number(part) : part;
}
