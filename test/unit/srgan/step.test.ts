import * as tf from '@tensorflow/tfjs-core';
import assert from 'node:assert/strict';
import { before, test } from 'node:test';
import { createLayout, sizeOf, sliceViews } from '../../../shared/layout.js';
import { createRandomStream } from '../../../shared/random.js';
import type { RunSpec } from '../../../shared/spec/schema.js';
import { loadReferenceBackend } from '../../support/engine/reference-backend.js';
import { createSrganTask } from '../../../task/srgan/task.js';
import type { NamedTensors, StepOutputs } from '../../../task/task.js';
import { trace } from '../../../trace/trace.js';
import { kerasGan, stepOf, tinySpec } from '../../support/engine/srgan-specs.js';

before(loadReferenceBackend);

type Arrays = Record<string, Float32Array>;
type Ran = Record<keyof StepOutputs, Arrays> & { readonly kernels: readonly string[] };

async function runStep(spec: RunSpec, phase: string): Promise<Ran> {
  let outputs!: StepOutputs;
  const { kernels } = await tf.profile(() => {
    outputs = createSrganTask(spec).step(phase).run(inputsOf(spec));
  });
  const values = (tensors: NamedTensors) =>
    Object.fromEntries(
      Object.entries(tensors).map(([name, tensor]) => [name, tensor.dataSync() as Float32Array]),
    );
  const { gradients, statistics, metrics } = outputs;
  return {
    ...{ gradients: values(gradients), statistics: values(statistics), metrics: values(metrics) },
    kernels: kernels.map(({ name }) => name),
  };
}

function inputsOf(spec: RunSpec): NamedTensors {
  const task = createSrganTask(spec);
  const stream = createRandomStream(11);
  const inputs: NamedTensors = {};
  for (const { name, shape } of task.batch(2)) {
    const values = Float32Array.from({ length: sizeOf(shape) }, () =>
      name === 'lr' ? stream.uniform() : 2 * stream.uniform() - 1,
    );
    inputs[name] = tf.tensor(values, [...shape]);
  }
  for (const network of task.networks) {
    const flat = task.initialParameters(network.name, spec.seed);
    // Offsets and biases start at 0, where a sign of error would not show.
    for (let i = 0; i < flat.length; i++) if (flat[i] === 0) flat[i] = 0.1 * stream.uniform();
    const views = sliceViews(createLayout(network.parameters), flat);
    for (const { name, shape } of network.parameters)
      inputs[name] = tf.tensor(views[name].slice(), [...shape]);
  }
  return inputs;
}

const namesOf = (all: readonly { readonly name: string }[]) => all.map(({ name }) => name);

const variants: readonly [string, RunSpec][] = [
  ['paper', tinySpec()],
  [
    'bicubic skip, linear, no normalization',
    tinySpec({
      generator: { skip: 'bicubic', output: 'linear', normalization: 'none' },
      discriminator: { normalization: 'none' },
      loss: { pixelNorm: 'mae' },
    }),
  ],
  ['keras-gan', tinySpec(kerasGan)],
];

for (const [name, spec] of variants)
  test(`every trained parameter gets a gradient of its shape: ${name}`, async () => {
    const task = createSrganTask(spec);
    const outputs = await runStep(spec, 'adversarial');
    const parameters = task.networks.flatMap((network) => network.parameters);
    assert.deepEqual(Object.keys(outputs.gradients), namesOf(parameters));
    for (const { name, shape } of parameters) {
      const gradient = outputs.gradients[name];
      assert.equal(gradient.length, sizeOf(shape), name);
      assert.ok(gradient.every(Number.isFinite), name);
      assert.ok(gradient.some(Boolean), `${name} gets no gradient`);
    }
    const step = task.step('adversarial');
    assert.deepEqual(Object.keys(outputs.metrics).sort(), [...step.metrics].sort());
    assert.deepEqual(Object.keys(outputs.statistics), namesOf(step.statistics));
    // One filter gradient for each convolution of the generator, and two (real and generated)
    // for each of the discriminator: none on the generator's way through the discriminator.
    const filters = parameters.filter((parameter) => parameter.name.endsWith('/filter'));
    const ofGenerator = filters.filter((filter) => filter.name.startsWith('generator/'));
    const gradients = outputs.kernels.filter((kernel) => kernel === 'Conv2DBackpropFilter');
    assert.equal(gradients.length, ofGenerator.length + 2 * 8);
  });

test('a phase of pixel loss runs no discriminator and gives the generator alone gradients', async () => {
  const outputs = await runStep(tinySpec(), 'pixel');
  assert.ok(Object.keys(outputs.gradients).every((name) => name.startsWith('generator/')));
  assert.deepEqual(Object.keys(outputs.metrics).sort(), ['loss/generator', 'loss/pixel', 'mse']);
  assert.ok(Object.values(outputs.gradients).every((gradient) => gradient.some((v) => v !== 0)));
});

test('a step of the discriminator alone has its part of the whole step', async () => {
  const spec = tinySpec();
  const task = createSrganTask(spec);
  const [whole, alone] = [task.step('adversarial'), task.step('adversarial', 'discriminator')];
  const expected = await runStep(spec, 'adversarial');
  const outputs = alone.run(inputsOf(spec));
  assert.deepEqual(namesOf(alone.statistics), Object.keys(outputs.statistics));
  assert.deepEqual([alone.reads, alone.trains], [whole.reads, ['discriminator']]);
  assert.deepEqual(Object.keys(outputs.gradients), namesOf(task.networks[1].parameters));
  for (const [name, gradient] of Object.entries(outputs.gradients))
    assert.deepEqual(gradient.dataSync(), expected.gradients[name], name);
  assert.deepEqual(Object.keys(outputs.metrics).sort(), [...alone.metrics].sort());
  for (const [name, value] of Object.entries(outputs.metrics))
    assert.deepEqual(value.dataSync(), expected.metrics[name], name);

  // The generator runs forward only: its filters get no gradients.
  const inputs = [...task.batch(spec.batch.size), ...task.networks.flatMap((n) => n.parameters)];
  const { nodes } = trace(inputs, (tensors) => alone.run(tensors).gradients);
  const count = (kernel: string) => nodes.filter((node) => node.kernel === kernel).length;
  assert.equal(count('Conv2D'), generatorConvolutions + 2 * 8);
  assert.equal(count('Conv2DBackpropFilter'), 2 * 8);
});

test("the generator's loss leaves the discriminator's gradients as they are", async () => {
  // Were the loss of one network to leak into the other, its weight would show there.
  const light = await runStep(tinySpec({ loss: { adversarial: 1e-3 } }), 'adversarial');
  const heavy = await runStep(tinySpec({ loss: { adversarial: 10 } }), 'adversarial');
  for (const [name, gradient] of Object.entries(light.gradients)) {
    const other = heavy.gradients[name];
    const isSame = gradient.every((value, i) => value === other[i]);
    assert.equal(isSame, name.startsWith('discriminator/'), name);
  }
});

test('metrics are the formulas of the losses', async () => {
  const spec = tinySpec();
  const outputs = await runStep(spec, 'adversarial');
  const metric = (name: string) => outputs.metrics[name][0];
  assert.equal(metric('mse'), metric('loss/pixel'));
  const total = metric('loss/pixel') + 1e-3 * metric('loss/adversarial');
  assert.ok(Math.abs(metric('loss/generator') - total) < 1e-5 * total);
  // By Jensen: -log of the mean score is at most the mean of -log.
  assert.ok(metric('loss/adversarial') >= -Math.log(metric('score/fake')) - 1e-5);
  assert.ok(metric('score/real') > 0 && metric('score/real') < 1);
});

for (const loss of [{}, { objective: 'relativistic', realLabel: 0.9, adversarial: 0.1 }] as const)
  test(`gradients agree with differences of the loss ${JSON.stringify(loss)}`, async () => {
    const spec = tinySpec({ loss });
    const outputs = await runStep(spec, 'adversarial');
    const task = createSrganTask(spec);
    const cases: [string, string][] = [
      ['generator/head/slope', 'loss/generator'],
      ['generator/stage0/filter', 'loss/generator'],
      ['discriminator/conv3/norm/scale', 'loss/discriminator'],
      ['discriminator/hidden/weights', 'loss/discriminator'],
    ];
    for (const [name, metric] of cases) {
      const at = outputs.gradients[name].reduce(
        (best, value, i, all) => (Math.abs(value) > Math.abs(all[best]) ? i : best),
        0,
      );
      // Large enough for float32; small, since a discriminator of few values bends sharply.
      const nudge = name.startsWith('generator/') && loss.adversarial === undefined ? 1e-2 : 1e-3;
      const lossAt = (amount: number): number => {
        const inputs = inputsOf(spec);
        const values = inputs[name].dataSync().slice() as Float32Array;
        values[at] += amount;
        inputs[name] = tf.tensor(values, inputs[name].shape);
        return task.step('adversarial').run(inputs).metrics[metric].dataSync()[0];
      };
      const slope = (lossAt(nudge) - lossAt(-nudge)) / (2 * nudge);
      const gradient = outputs.gradients[name][at];
      assert.ok(
        Math.abs(slope - gradient) < 0.05 * Math.abs(gradient) + 1e-5,
        `${name}: ${slope}, ${gradient}`,
      );
    }
  });

for (const order of ['norm-activation', 'activation-norm'] as const)
  test(`inference with a micro-shard's own statistics is its training forward: ${order}`, async () => {
    const spec = tinySpec({ generator: { order, skip: 'bicubic' } });
    const outputs = await runStep(spec, 'pixel');
    const inputs = inputsOf(spec);
    const task = createSrganTask(spec);
    for (const { name, shape } of task.networks[0].statistics)
      inputs[name] = tf.tensor(outputs.statistics[name], [...shape]);
    const generated = task.inference.run({ ...inputs, input: inputs['lr'] });
    assert.deepEqual(generated.shape, inputs['hr'].shape);
    const error = tf.mean(tf.squaredDifference(generated, inputs['hr'])).dataSync()[0];
    assert.ok(Math.abs(error - outputs.metrics['mse'][0]) < 1e-5 * error);
  });

// One block: head, two of the block, middle, two stages, tail.
const generatorConvolutions = 7;

test('traced, the adversarial step runs nothing twice', () => {
  const { inputs, run } = stepOf(tinySpec());
  const { nodes } = trace(inputs, run);
  const count = (kernel: string) => nodes.filter((node) => node.kernel === kernel).length;
  // The discriminator's eight on real and on generated pictures, though both losses ask for them.
  assert.equal(count('Conv2D'), generatorConvolutions + 2 * 8);
  assert.equal(count('BatchNormTraining'), 3 + 2 * 7);
  // Back through all but the first of each for the parameters, and through the discriminator
  // once more to the picture.
  assert.equal(count('Conv2DBackpropInput'), generatorConvolutions - 1 + 2 * 7 + 8);
  assert.equal(count('Conv2DBackpropFilter'), generatorConvolutions + 2 * 8);
  // Two layers of the head: forward, back to their inputs for each loss, and their weights.
  assert.equal(count('BatchMatMul'), 2 * 4);
});
