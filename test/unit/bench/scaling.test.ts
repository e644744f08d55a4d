// The model of the exchange against cases that are computed by hand.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  chooseSetting,
  modelStep,
  shapeOf,
  worthFactoring,
  type Costs,
  type ExchangedModel,
} from '../../../bench/scaling/model.js';
import { exchangedModel } from '../../../bench/scaling/measure.js';
import { scalingCases, scalingPage } from '../../../bench/scaling/page.js';
import { chunkBytes } from '../../../shared/plan/step-vector.js';
import { loadPreset } from '../../../shared/spec/load.js';

const mib = 2 ** 20;
/** 64 MiB of float32, of which a product of [32, 4096] and [32, 2048] is half. */
const model: ExchangedModel = {
  name: 'model',
  exact: 0,
  gradients: 16 * mib,
  products: [{ rows: 32, a: 4096, b: 2048 }],
};
const costs: Costs = {
  grpcSecondsPerGib: 1,
  sumSecondsPerGib: { float32: 0.5, bfloat16: 1 },
  gflops: 16,
};
const plain = { precision: 'float32', isFactored: false, lanes: 1 } as const;
const close = (actual: number, expected: number): void =>
  assert.ok(Math.abs(actual - expected) <= 1e-9 * Math.abs(expected), `${actual}, ${expected}`);

test('where all own the same, a worker moves 2 (N - 1) / N of the vector', () => {
  for (const workers of [2, 4, 8, 64]) {
    const cluster = { workers, leavesPerWorker: 1, linkGbits: 10 };
    const { bytes } = modelStep(model, cluster, plain, costs);
    close(bytes, (64 * mib * 2 * (workers - 1)) / workers);
  }
});

test('with more workers than chunks the owner of a chunk has the most to do', () => {
  const workers = (2 * 64 * mib) / chunkBytes;
  const cluster = { workers, leavesPerWorker: 1, linkGbits: 10 };
  // It takes a contribution to its chunk of each peer, and sends its own to the other chunks; then
  // the reverse.
  const expected = (workers - 1) * chunkBytes + 64 * mib - chunkBytes;
  close(modelStep(model, cluster, plain, costs).bytes, expected);
});

test('the slower of link and processor counts, and lanes share the processor', () => {
  const cluster = { workers: 2, leavesPerWorker: 1, linkGbits: 1 };
  const parts = modelStep(model, cluster, plain, costs);
  close(parts.linkS, (64 * mib * 8) / 1e9);
  close(parts.grpcS, 64 / 1024);
  // One contribution of the half that it owns.
  close(parts.sumS, (32 / 1024) * 0.5);
  close(parts.exposedS, parts.linkS);
  const fast = modelStep(model, { ...cluster, linkGbits: 100 }, plain, costs);
  close(fast.exposedS, 64 / 1024 + 16 / 1024);
  const lanes = modelStep(model, { ...cluster, linkGbits: 100 }, { ...plain, lanes: 2 }, costs);
  close(lanes.exposedS, fast.exposedS / 2);
});

test('bfloat16 halves the bytes', () => {
  const cluster = { workers: 4, leavesPerWorker: 1, linkGbits: 1 };
  const { bytes } = modelStep(model, cluster, plain, costs);
  close(modelStep(model, cluster, { ...plain, precision: 'bfloat16' }, costs).bytes, bytes / 2);
});

test('factors go to every other worker, and are multiplied by all', () => {
  assert.deepEqual(shapeOf(model, model.products), {
    ...{ exact: 0, gradients: 8 * mib, factors: 32 * (4096 + 2048) },
  });
  const cluster = { workers: 4, leavesPerWorker: 2, linkGbits: 100 };
  const parts = modelStep(model, cluster, { ...plain, isFactored: true }, costs);
  const factorBytes = 2 * 3 * 4 * 32 * 6144;
  close(parts.bytes, (32 * mib * 6) / 4 + factorBytes);
  // 6 micro-shards of others, 2 * 32 * 4096 * 2048 operations each, 16e9 a second.
  close(parts.productS, (6 * 2 * 32 * 8 * mib) / 16e9);
  close(parts.exposedS, factorBytes / 2 ** 30 + parts.productS);
});

test('factoring is worth it while all factors are smaller than the gradient', () => {
  // 8 Mi values; a micro-shard's factors are 192 Ki: up to 42 of them.
  assert.deepEqual(worthFactoring(model, 42), model.products);
  assert.deepEqual(worthFactoring(model, 43), []);
  const cluster = { workers: 43, leavesPerWorker: 1, linkGbits: 1 };
  const summed = modelStep(model, cluster, plain, costs);
  assert.deepEqual(modelStep(model, cluster, { ...plain, isFactored: true }, costs), summed);
});

test('the simplest of the settings that are hardly slower is chosen', () => {
  const slow = { workers: 8, leavesPerWorker: 1, linkGbits: 1 };
  const { setting } = chooseSetting({ ...model, products: [] }, slow, [1, 2, 4], costs);
  // The link decides: fewer bytes help, more lanes do not.
  assert.deepEqual(setting, { precision: 'bfloat16', isFactored: false, lanes: 1 });
  const fast = { ...slow, linkGbits: 1000 };
  const cheap = { ...costs, sumSecondsPerGib: { float32: 0.1, bfloat16: 5 } };
  const other = chooseSetting({ ...model, products: [] }, fast, [1, 2, 4], cheap).setting;
  assert.deepEqual(other, { precision: 'float32', isFactored: false, lanes: 4 });
});

test("the paper's model has one product that is worth factoring, three quarters of all", () => {
  const paper = exchangedModel('paper', loadPreset('paper', []), 16);
  // Photographs and generated pictures: twice the batch.
  const dense = { rows: 32, a: 18_432, b: 1024 };
  assert.deepEqual(worthFactoring(paper, 1), [dense]);
  assert.ok(paper.gradients > 25e6 && paper.gradients < 26e6, `${paper.gradients} values`);
  assert.ok(paper.exact > 0 && paper.exact < 20_000, `${paper.exact} values`);
});

test('the page has a case for each model, number of workers and link', () => {
  const options = {
    ...{ models: [model, { ...model, name: 'other', products: [] }], batch: 16, costs },
    ...{ workers: [2, 64], linksGbits: [1, 10], lanes: [1, 2], leavesPerWorker: 1 },
  };
  const cases = scalingCases(options);
  assert.equal(cases.length, 8);
  for (const { exposedS, plainExposedS } of cases) assert.ok(exposedS <= 1.1 * plainExposedS);
  const page = scalingPage(options, 'a machine, a date');
  assert.match(page, /a machine, a date/);
  assert.match(page, /## other\n\n64\.0 MiB of float32, all of them summed/);
  assert.match(page, /\| 64 \| .*\n/);
});
