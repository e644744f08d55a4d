// A spec is what it says and nothing else, and where two differ is named by keys.

import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import { canonicalJson, specDifferences, specDigest } from '../../../shared/spec/compare.js';
import { parseSpec, loadPreset } from '../../../shared/spec/load.js';
import { printSpec, tinyRun } from '../../support/tiny-run.js';

test('canonical JSON sorts keys at every level and leaves out what is undefined', () => {
  assert.equal(
    canonicalJson({ b: [{ z: 1, a: undefined }, null, 'x"'], a: 1e-4, c: { y: true, b: -0 } }),
    '{"a":0.0001,"b":[{"z":1},null,"x\\""],"c":{"b":0,"y":true}}',
  );
});

test('the digest is the sum of the canonical JSON', () => {
  const spec = loadPreset('demo');
  const expected = createHash('sha256').update(canonicalJson(spec)).digest('hex');
  assert.equal(specDigest(spec), expected);
});

test('order, comments and ways of writing a number do not matter; values do', () => {
  const spec = loadPreset('demo');
  const reversed = Object.fromEntries(Object.entries(spec).reverse()) as typeof spec;
  assert.equal(specDigest(reversed), specDigest(spec));
  const text = printSpec(spec).replace('beta2: 0.999', 'beta2: 9.99e-1 # written otherwise');
  assert.equal(specDigest(parseSpec(text, 'text').spec), specDigest(spec));
  assert.notEqual(specDigest(loadPreset('demo', ['seed=8'])), specDigest(spec));
});

test('a default that is left out is the same as one that is written', () => {
  const written = printSpec(loadPreset('demo'));
  const left = written.replaceAll(/^ +(pixelNorm|objective): (mse|bce)\n/gm, '');
  assert.notEqual(left, written);
  assert.equal(specDigest(parseSpec(left, 'left').spec), specDigest(loadPreset('demo')));
});

const tiny = tinyRun('file://faces');

test('a spec does not differ from itself, whatever the order of its keys', () => {
  const reversed = Object.fromEntries(Object.entries(tiny).reverse()) as unknown as typeof tiny;
  assert.deepEqual(specDifferences(tiny, reversed), []);
});

test('every key that differs is named, and one that only one of them has', () => {
  const [pixel, adversarial] = tiny.phases;
  assert.ok(pixel !== undefined && adversarial !== undefined);
  const other = {
    ...{ ...tiny, seed: 12, phases: [{ ...pixel, steps: 4 }] },
    dataset: { ...tiny.dataset, indexSha256: 'ab' },
  };
  assert.deepEqual(specDifferences(tiny, other), [
    { key: 'dataset.indexSha256', left: undefined, right: 'ab' },
    { key: 'phases.0.steps', left: 3, right: 4 },
    { key: 'phases.1', left: adversarial, right: undefined },
    { key: 'seed', left: 11, right: 12 },
  ]);
});
