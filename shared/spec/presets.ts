// The presets that come with the package: commented run specs under `presets/`.

import { readdirSync, readFileSync } from 'node:fs';
import { packageFile } from '../paths.js';
import { OperatorError } from '../problems.js';
import { parseSpec, type SpecDocument } from './load.js';
import { nearMiss } from '../near-miss.js';
import type { Override } from './overrides.js';
import type { RunSpec } from './schema.js';

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
