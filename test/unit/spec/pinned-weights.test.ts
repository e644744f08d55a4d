// The sums of frozen weights, as a run pins them.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { validateSpec } from '../../../shared/spec/validate.js';
import {
  pinFeatureWeights,
  readFeatureWeights,
  readFrozenInputs,
  withPinnedSums,
} from '../../../shared/weights/feature-weights.js';
import { tinyRun } from '../../support/tiny-run.js';

const spec = tinyRun('file://nowhere');
const filter = { name: 'face/conv32_down/filter', shape: [7, 7, 3, 32] };

test('a run pins the sum of the weights it uses, and a spec without it is the same run', async () => {
  const pinned = pinFeatureWeights(spec, await readFeatureWeights(spec, {}));
  assert.match(pinned.featureNetworks?.face?.sha256 ?? '', /^[0-9a-f]{64}$/);
  assert.equal(validateSpec(pinned).kind, 'valid');
  assert.deepEqual(withPinnedSums(spec, pinned), pinned);
  assert.equal((await readFrozenInputs(pinned, [filter], {}))[filter.name].length, 7 * 7 * 3 * 32);
});

test('other weights than the pinned ones are refused by both sums', async () => {
  const other = { ...spec, featureNetworks: { face: { sha256: 'a'.repeat(64) } } };
  await assert.rejects(
    readFrozenInputs(other, [filter], {}),
    /the weights of face are not those of the run[^]*sha256: given "[0-9a-f]{64}"; allowed: aaaa/,
  );
});

test('a spec without feature losses reads nothing and pins nothing', async () => {
  const phases = spec.phases.map((phase) => {
    const { features: _, ...loss } = phase.loss;
    return { ...phase, loss };
  });
  const plain = { ...spec, phases };
  assert.deepEqual(await readFeatureWeights(plain, {}), {});
  assert.equal(pinFeatureWeights(plain, {}), plain);
  assert.equal(withPinnedSums(plain, plain), plain);
});
