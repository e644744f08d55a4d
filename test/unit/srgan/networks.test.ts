import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import { createLayout, sizeOf, sliceViews } from '../../../shared/layout.js';
import { OperatorError } from '../../../shared/problems.js';
import { createSrganTask } from '../../../task/srgan/task.js';
import { paperSpec, tinySpec } from '../../support/engine/srgan-specs.js';

const countOf = (tensors: readonly { readonly shape: readonly number[] }[]): number =>
  tensors.reduce((sum, { shape }) => sum + sizeOf(shape), 0);

test("the paper's networks have the paper's parameters, without the biases that do nothing", () => {
  const [generator, discriminator] = createSrganTask(paperSpec()).networks;
  // 1,550,659 trainable with all biases (running statistics apart); 33 convolutions
  // of 64 channels are followed by a normalization.
  assert.equal(countOf(generator.parameters), 1_550_659 - 33 * 64);
  assert.equal(countOf(generator.statistics), 4_224);
  const hidden = discriminator.parameters.find(({ name }) => name.endsWith('hidden/weights'));
  assert.deepEqual(hidden?.shape, [18_432, 1024]);
  assert.equal(discriminator.statistics.length, 0);
  const biases = discriminator.parameters.filter(({ name }) => /conv\d\/bias/.test(name));
  assert.deepEqual([biases.length, biases[0].name], [1, 'discriminator/conv0/bias']);
});

test('names differ, and every tensor starts with its own values', () => {
  const task = createSrganTask(tinySpec());
  for (const network of task.networks) {
    const layout = createLayout(network.parameters);
    const flat = task.initialParameters(network.name, 3);
    assert.equal(flat.length, layout.size);
    const filters = Object.entries(sliceViews(layout, flat)).filter(([name]) =>
      /filter|weights/.test(name),
    );
    assert.equal(new Set(filters.map(([, values]) => values[0])).size, filters.length);
    for (const [name, values] of filters) assert.ok(values.every(Number.isFinite), name);
  }
});

test('initial parameters are pinned: the same bytes on every machine', () => {
  const task = createSrganTask(tinySpec());
  const digest = (seed: number) =>
    createHash('sha256')
      .update(Buffer.from(task.initialParameters('generator', seed).buffer))
      .digest('hex');
  assert.equal(digest(7), '714b1468244f5b76449fc033362f231d2f05634ba4a5a03b6e98850fe6fbe707');
  assert.notEqual(digest(8), digest(7));
});

test('filters start uniform in one over the square root of their fan-in', () => {
  const task = createSrganTask(paperSpec());
  const network = task.networks[0];
  const views = sliceViews(
    createLayout(network.parameters),
    task.initialParameters('generator', 1),
  );
  const values = views['generator/block3/first/filter'];
  const variance = values.reduce((sum, value) => sum + value * value, 0) / values.length;
  assert.ok(Math.abs(variance / (1 / (3 * 9 * 64)) - 1) < 0.02);
});

test('statistics start at mean 0 and variance 1', () => {
  const task = createSrganTask(tinySpec());
  const { statistics } = task.networks[0];
  const views = sliceViews(createLayout(statistics), task.initialStatistics('generator'));
  for (const [name, values] of Object.entries(views))
    assert.deepEqual(new Set(values), new Set([name.endsWith('mean') ? 0 : 1]), name);
});

test('a phase without adversarial loss leaves the discriminator out', () => {
  const task = createSrganTask(tinySpec());
  assert.deepEqual(task.step('pixel').reads, ['generator']);
  assert.deepEqual(task.step('pixel').trains, ['generator']);
  assert.deepEqual(task.step('adversarial').trains, ['generator', 'discriminator']);
  assert.throws(() => task.step('polish'), /no phase "polish"/);
});

test('the head `patch` takes crops of any size with the same parameters', () => {
  const shapes = [16, 64].map(
    (crop) =>
      createSrganTask(tinySpec({ crop, discriminator: { head: 'patch' } })).networks[1].parameters,
  );
  assert.deepEqual(shapes[0], shapes[1]);
});

test('channels that cannot be shuffled are refused', () => {
  assert.throws(
    () => createSrganTask(tinySpec({ generator: { upsamplingChannels: 6 } })),
    (error) =>
      error instanceof OperatorError && error.problems[0]?.key === 'generator.upsamplingChannels',
  );
});

test('the radius adds up half sides: 39.5 and a place for the paper', () => {
  assert.equal(createSrganTask(paperSpec()).inference.radius, 41);
  assert.equal(createSrganTask(paperSpec({ generator: { blocks: 0 } })).inference.radius, 9);
});
