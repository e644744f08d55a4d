// A flat picture and the pattern that upsampling lays over it: none at the start with `icnr`, and
// none whatever the weights with `nearest`.

import * as tf from '@tensorflow/tfjs-core';
import assert from 'node:assert/strict';
import { before, test } from 'node:test';
import { createLayout, sliceViews } from '../../../shared/layout.js';
import { createRandomStream } from '../../../shared/random.js';
import type { RunSpec } from '../../../shared/spec/schema.js';
import { createSrganTask } from '../../../task/srgan/task.js';
import type { NamedTensors } from '../../../task/task.js';
import { loadReferenceBackend } from '../../support/engine/reference-backend.js';
import { kerasGan, tinySpec } from '../../support/engine/srgan-specs.js';

before(loadReferenceBackend);

const side = 40;

/** What a generator makes of flat grey, away from the border: rows of one colour value each. */
function centreOf(spec: RunSpec, change: (values: Float32Array) => void = () => undefined) {
  const task = createSrganTask(spec);
  const [generator] = task.networks;
  const parameters = task.initialParameters(generator.name, spec.seed);
  change(parameters);
  const statistics = task.initialStatistics(generator.name);
  const inputs: NamedTensors = { input: tf.fill([1, side, side, 3], 0.4) };
  for (const [tensors, flat] of [
    [generator.parameters, parameters],
    [generator.statistics, statistics],
  ] as const) {
    const views = sliceViews(createLayout(tensors), flat);
    for (const { name, shape } of tensors)
      inputs[name] = tf.tensor(views[name].slice(), [...shape]);
  }
  const margin = 4 * task.inference.radius;
  const inner = 4 * side - 2 * margin;
  assert.ok(inner >= 16 && inner % 4 === 0);
  const made = task.inference.run(inputs) as tf.Tensor4D;
  const red = tf.slice(made, [0, margin, margin, 0], [1, inner, inner, 1]);
  return tf.reshape(red, [inner, inner]).arraySync() as number[][];
}

/** Amplitudes in the spectrum at the frequencies of upsampling by 2 and by 4, but for the mean. */
function lines(rows: readonly number[][]): number[] {
  const found = [];
  for (const down of [0, 1, 2, 3])
    for (const across of [0, 1, 2, 3]) {
      if (down === 0 && across === 0) continue;
      let [cosine, sine] = [0, 0];
      rows.forEach((row, y) =>
        row.forEach((value, x) => {
          const angle = (Math.PI / 2) * (down * y + across * x);
          cosine += value * Math.cos(angle);
          sine += value * Math.sin(angle);
        }),
      );
      found.push(Math.hypot(cosine, sine) / rows.length ** 2);
    }
  return found;
}

const shuffled = (initialization: 'uniform' | 'icnr') =>
  tinySpec({ generator: { initialization, output: 'linear', blocks: 0 } });

test('with icnr flat grey starts flat, at every frequency of the upsampling', () => {
  assert.ok(Math.max(...lines(centreOf(shuffled('icnr')))) < 1e-6);
});

test('with uniform filters it does not: the lines that icnr takes away are there', () => {
  assert.ok(Math.max(...lines(centreOf(shuffled('uniform')))) > 1e-3);
});

test('icnr filters come in four equal runs, as uniform ones do not, and only before a shuffle', () => {
  const views = (initialization: 'uniform' | 'icnr') => {
    const task = createSrganTask(shuffled(initialization));
    const { parameters } = task.networks[0];
    return sliceViews(createLayout(parameters), task.initialParameters('generator', 7));
  };
  const [plain, equal] = [views('uniform'), views('icnr')];
  for (const name of Object.keys(plain)) {
    if (!/stage\d\/filter/.test(name)) assert.deepEqual(equal[name], plain[name], name);
    else {
      const runs = new Set(equal[name]);
      assert.equal(runs.size, equal[name].length / 4, name);
      for (let i = 0; i < equal[name].length; i++)
        assert.equal(equal[name][i], equal[name][8 * Math.floor(i / 8) + (i % 2)]);
    }
  }
});

test('nearest and a convolution keep flat grey flat, whatever the weights', () => {
  const spec = tinySpec({ generator: { ...kerasGan.generator, blocks: 0, output: 'linear' } });
  const stream = createRandomStream(3);
  const rows = centreOf(spec, (values) => {
    for (let i = 0; i < values.length; i++) values[i] += stream.uniform() - 0.5;
  });
  const [low, high] = [Math.min(...rows.flat()), Math.max(...rows.flat())];
  assert.ok(Math.abs(high) > 0.01, 'and not for want of a signal');
  assert.ok(high - low < 1e-5 * Math.abs(high), `${low} to ${high}`);
});
