// Where two specs differ is told by keys.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { specDifferences } from '../../../shared/spec/compare.js';
import { tinyRun } from '../../support/tiny-run.js';

const spec = tinyRun('file://faces');

test('a spec does not differ from itself, whatever the order of its keys', () => {
  const reversed = Object.fromEntries(Object.entries(spec).reverse()) as unknown as typeof spec;
  assert.deepEqual(specDifferences(spec, reversed), []);
});

test('every key that differs is told, and one that only one of them has', () => {
  const [pixel, adversarial] = spec.phases;
  assert.ok(pixel !== undefined && adversarial !== undefined);
  const other = {
    ...{ ...spec, seed: 12, phases: [{ ...pixel, steps: 4 }] },
    dataset: { ...spec.dataset, indexSha256: 'ab' },
  };
  assert.deepEqual(specDifferences(spec, other), [
    { key: 'dataset.indexSha256', left: undefined, right: 'ab' },
    { key: 'phases.0.steps', left: 3, right: 4 },
    { key: 'phases.1', left: adversarial, right: undefined },
    { key: 'seed', left: 11, right: 12 },
  ]);
});
