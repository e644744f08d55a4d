// Run specs from text, files and presets: YAML within limits, overrides (`--set key.path=value`),
// validation. Everything that is wrong is thrown as one OperatorError that names the source.

import { readdirSync, readFileSync } from 'node:fs';
import { isMap, parseDocument, visit, type Document, isCollection, isSeq, parse } from 'yaml';
import { readRegularFileSync } from '../local-files.js';
import { OperatorError, messageOf, nearMiss, type Problem } from '../problems.js';
import type { RunSpec } from './schema.js';
import { validateSpec } from './validate.js';
import { keyName, schemaAt, unknownKey, type KeyPath } from './keys.js';
import { packageFile } from '../paths.js';
import { requireSmallYaml } from '../bounded-json.js';

/** A spec file is a page of text; anything above this is something else. */
const specBytesLimit = 1024 * 1024;

/** A valid spec, and its text with overrides applied and comments kept. */
export interface SpecDocument {
  readonly spec: RunSpec;
  readonly text: string;
}

/** Reads, overrides and validates the spec in a file. Throws OperatorError. */
export function openSpec(path: string, overrides: readonly Override[] = []): SpecDocument {
  return parseSpec(readBounded(path), path, overrides);
}

/** Parses, overrides and validates the text of a spec; `source` names it in errors. */
export function parseSpec(
  text: string,
  source: string,
  overrides: readonly Override[] = [],
): SpecDocument {
  const fail = (problems: readonly Problem[]): never => {
    throw new OperatorError(`${source} is not a valid run spec`, problems);
  };
  const document = parseYaml(text, fail);
  const unapplied = overrides.flatMap((override) => applyOverride(document, override));
  const validated = validateSpec(document.toJS({ maxAliasCount: 0 }));
  if (validated.kind === 'invalid')
    return fail([...unapplied, ...validated.problems.map((one) => withFlag(one, overrides))]);
  if (unapplied.length > 0) return fail(unapplied);
  return { spec: validated.spec, text: document.toString({ lineWidth: 100 }) };
}

/** A problem of a key that `--set` has given names the flag as well. */
function withFlag(problem: Problem, overrides: readonly Override[]): Problem {
  const isGiven = overrides.some((override) => override.split('=', 1)[0]?.trim() === problem.key);
  return isGiven ? { ...problem, key: `--set ${problem.key}` } : problem;
}

/** A document that is a map without aliases; syntax errors go to `fail`, with their place. */
function parseYaml(text: string, fail: (problems: readonly Problem[]) => never): Document {
  if (text.length > specBytesLimit) fail([tooLarge(text.length)]);
  const document = parseDocumentSafely(text, fail);
  const problems = syntaxProblems(document, text);
  visit(document, {
    Alias: (_, alias) => {
      const given = `*${alias.source}`;
      problems.push({ key: 'the document', given, allowed: 'YAML without aliases' });
      return visit.BREAK;
    },
  });
  if (problems.length > 0) fail(problems);
  if (!isMap(document.contents))
    fail([{ key: 'the document', given: text.slice(0, 80), allowed: 'a YAML map of keys' }]);
  return document;
}

/** The syntax errors, each kind once and at most five: later ones follow from the first. */
function syntaxProblems(document: Document, text: string): Problem[] {
  const lines = text.split('\n');
  const problems = document.errors.map((error): Problem => {
    const start = error.linePos?.[0] ?? { line: 1, col: 1 };
    const hint = firstLine(error.message).replace(/ at line \d+, column \d+:$/, '');
    const key = `line ${start.line}, column ${start.col}`;
    return { key, given: lines[start.line - 1]?.trim(), allowed: 'valid YAML', hint };
  });
  const hints = problems.map((problem) => problem.hint);
  return problems.filter((problem, i) => hints.indexOf(problem.hint) === i).slice(0, 5);
}

function parseDocumentSafely(
  text: string,
  fail: (problems: readonly Problem[]) => never,
): Document {
  try {
    requireSmallYaml(text);
    return parseDocument(text, { logLevel: 'error' });
  } catch (error) {
    const hint = error instanceof Error ? firstLine(error.message) : String(error);
    return fail([{ key: 'the document', given: text.slice(0, 80), allowed: 'valid YAML', hint }]);
  }
}

/** Reads a file that is no larger than a spec may be. */
function readBounded(path: string): string {
  try {
    return readRegularFileSync(path, specBytesLimit).toString('utf8');
  } catch (error) {
    const allowed = `a YAML file of at most ${specBytesLimit} bytes`;
    throw new OperatorError('the run spec cannot be read', [
      { key: '-f', given: path, allowed, hint: messageOf(error) },
    ]);
  }
}

function tooLarge(bytes: number): Problem {
  return {
    key: 'the document',
    given: `${bytes} bytes or more`,
    allowed: `at most ${specBytesLimit} bytes`,
  };
}

function firstLine(text: string): string {
  return text.split('\n', 1)[0] ?? text;
}

/** An override as the operator wrote it: "batch.size=8", "phases.0.steps=100". */
export type Override = string;

/** Applies an override in place, so that comments stay; a problem when it can't be applied. */
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
  // A map that is left out comes with its first key.
  const isAbsent = parent === undefined && schemaAt(path.slice(0, -1))?.type === 'object';
  if (!isCollection(parent) && !isAbsent)
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
    requireSmallYaml(text);
    return parse(text, { maxAliasCount: 0, logLevel: 'error' }) as unknown;
  } catch {
    return undefined;
  }
}

function pathPart(part: string): string | number {
  return /^\d{1,6}$/.test(part) ? Number(part) : part;
}

const ending = '.yaml';

/** Names of the presets, sorted. */
export function presetNames(): string[] {
  return readdirSync(packageFile('presets'))
    .filter((file) => file.endsWith(ending))
    .map((file) => file.slice(0, -ending.length))
    .sort();
}

/** The preset's first line of comment: what it is for. */
export function presetSummary(name: string): string {
  return presetText(name).split('\n', 1)[0]?.replace(/^#\s*/, '') ?? '';
}

/** A preset with overrides applied. Throws OperatorError for an unknown name or bad overrides. */
export function loadPreset(name: string, overrides: readonly Override[] = []): RunSpec {
  return openPreset(name, overrides).spec;
}

/** As `loadPreset`, with the commented text beside the spec. */
export function openPreset(name: string, overrides: readonly Override[] = []): SpecDocument {
  return parseSpec(presetText(name), `preset ${name}`, overrides);
}

function presetText(name: string): string {
  const names = presetNames();
  if (!names.includes(name)) {
    const near = nearMiss(name, names);
    const hint = near === undefined ? {} : { hint: `did you mean ${near}?` };
    const problem = { key: 'preset', given: name, allowed: names.join(', '), ...hint };
    throw new OperatorError('no such preset', [problem]);
  }
  return readFileSync(packageFile(`presets/${name}${ending}`), 'utf8');
}
