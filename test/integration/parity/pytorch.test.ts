// The training step against PyTorch's own operations, derivatives and Adam, in double precision.

import type { Tensor4D } from '@tensorflow/tfjs-core';
import assert from 'node:assert/strict';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { before, test } from 'node:test';
import { exportPytorch } from '../../../inference/generator.js';
import { decodeSafetensors, encodeSafetensors } from '../../../shared/checkpoint/safetensors.js';
import { createLayout, sizeOf, sliceViews, type TensorSpec } from '../../../shared/layout.js';
import { createRandomStream } from '../../../shared/random.js';
import type { PhaseSpec, RunSpec } from '../../../shared/spec/schema.js';
import { faceNetwork } from '../../../task/features/face.js';
import { discriminate, discriminatorName } from '../../../task/srgan/discriminator.js';
import { generate, generatorName } from '../../../task/srgan/generator.js';
import { fromPytorch, pytorchTensors } from '../../../task/srgan/pytorch.js';
import { createSrganTask } from '../../../task/srgan/task.js';
import { trainingNormalization } from '../../../task/srgan/units.js';
import { createEngine } from '../../../worker/engine/create-engine.js';
import { runPython, skipWithoutPython } from '../../python/run-python.js';
import { assertClose, type NamedArrays } from '../../support/engine/graph-parity.js';
import { kerasGan, tinySpec } from '../../support/engine/srgan-specs.js';
import { takeSteps } from '../../support/engine/trained-steps.js';
import { testFolder } from '../../support/tiny-run.js';

const skip = skipWithoutPython('torch', 'torchvision', 'safetensors', 'numpy');
const steps = 3;
const count = 3;

type Loss = Partial<PhaseSpec['loss']>;

/** Wirings and losses that between them have everything once. */
const cases: readonly (readonly [string, RunSpec])[] = [
  ['the paper', small({}, { pixel: 1, adversarial: 1 })],
  [
    'Keras-GAN on the bicubic picture',
    small(kerasGan, { ...kerasGan.loss, pixelNorm: 'mae', adversarial: 1 }),
  ],
  ['relativistic', small({}, { objective: 'relativistic', pixelNorm: 'mae', adversarial: 1 })],
  ['smooth labels', small({}, { realLabel: 0.9, adversarial: 1 })],
  ['features of frozen networks', small({}, { adversarial: 1, features: featureLosses() })],
  ['smooth labels, least squares', small({}, { ...kerasGan.loss, realLabel: 0.9 })],
];

/** Both networks, both activations, both norms. */
function featureLosses(): Loss['features'] {
  return [
    { network: 'face', layer: 'conv32_down', activation: 'after', norm: 'mse', weight: 0.7 },
    { network: 'face', layer: 'conv64_1', activation: 'before', norm: 'mae', weight: 1 },
    { network: 'vgg19', layer: 'vgg22', activation: 'after', norm: 'mse', weight: 1 },
    { network: 'vgg19', layer: 'conv3_1', activation: 'before', norm: 'mae', weight: 2 },
  ];
}

function small(wiring: Partial<typeof kerasGan>, loss: Loss): RunSpec {
  const skipped = wiring.generator === undefined ? {} : ({ skip: 'bicubic' } as const);
  return tinySpec({
    crop: 32,
    generator: { ...wiring.generator, ...skipped, blocks: 2, channels: 6, upsamplingChannels: 12 },
    discriminator: { ...wiring.discriminator, channels: 3, hidden: 8 },
    loss,
  });
}

/** What a training has come to: of the first step outputs and gradients, of the last parameters. */
interface Trained {
  /** Pictures and verdicts. */
  readonly outputs: NamedArrays;
  readonly metrics: NamedArrays;
  readonly gradients: NamedArrays;
  readonly parameters: NamedArrays;
}

const folder = testFolder();
const folderOf = (index: number): string => join(folder, `${index}`);

before(async () => {
  if (skip !== false) return;
  const asked = [];
  for (const [i, [, spec]] of cases.entries()) asked.push(await askPytorch(spec, folderOf(i)));
  await runPython('train_step.py', asked, [], 280_000);
});

for (const [i, [name, spec]] of cases.entries())
  test(`losses, gradients and ${steps} updates are PyTorch’s: ${name}`, { skip }, async () => {
    const [ours, theirs] = [await trainHere(spec), await readPytorch(spec, folderOf(i))];
    assertClose(ours.outputs, theirs.outputs, 1e-4);
    assertClose(ours.metrics, theirs.metrics, 1e-5);
    // A loss may not depend on a value at all, and then Adam makes whole steps of rounding errors.
    const floor = 1e-6 * Math.max(...Object.values(theirs.gradients).map(largest));
    const learnt = (arrays: NamedArrays): NamedArrays =>
      Object.fromEntries(
        Object.entries(theirs.gradients).map(([tensor, gradient]) => [
          tensor,
          arrays[tensor].filter((_, at) => Math.abs(gradient[at]) > floor),
        ]),
      );
    assertClose(learnt(ours.gradients), learnt(theirs.gradients), 1e-3);
    assertClose(learnt(ours.parameters), learnt(theirs.parameters), 1e-3);
    const way = distance(theirs.parameters, startOf(spec).tensors);
    const apart = distance(ours.parameters, theirs.parameters);
    assert.ok(way > 0.01 && apart < 0.02 * way, `${apart} apart on a way of ${way}`);
  });

const largest = (values: Float32Array): number =>
  values.reduce((most, value) => Math.max(most, Math.abs(value)), 0);

/** Of all values together. */
function distance(left: NamedArrays, right: NamedArrays): number {
  let sum = 0;
  for (const name of Object.keys(left))
    left[name].forEach((value, i) => (sum += (value - right[name][i]) ** 2));
  return Math.sqrt(sum);
}

interface Start {
  /** Flat, by network. */
  readonly parameters: NamedArrays;
  /** The same by tensor. */
  readonly tensors: NamedArrays;
  readonly batch: NamedArrays;
  /** The weights of the frozen networks, random but for ImageNet's mean. */
  readonly frozen: NamedArrays;
}

/** Parameters without a zero, a one or a symmetry, and a micro-shard. */
function startOf(spec: RunSpec): Start {
  const task = createSrganTask(spec);
  const stream = createRandomStream(17);
  const shaken = (values: Float32Array) =>
    values.map((value) => value + 0.1 * (stream.uniform() - 0.4));
  const parameters = task.networks.map(({ name }) => {
    return [name, shaken(task.initialParameters(name, 3))] as const;
  });
  const batch = task.batch(count).map(({ name, shape }) => {
    const range = name === 'lr' ? [0, 1] : [-1, 2];
    const values = Float32Array.from(
      { length: sizeOf(shape) },
      () => range[0] + range[1] * stream.uniform(),
    );
    return [name, values] as const;
  });
  const tensors = task.networks.map((network, i) =>
    sliceViews(createLayout(network.parameters), parameters[i][1]),
  );
  const frozen = frozenOf(spec).map(({ name, shape }) => {
    const gain = shape.length === 1 ? 0.1 : Math.sqrt(6 / sizeOf(shape.slice(0, -1)));
    const drawn = Float32Array.from({ length: sizeOf(shape) }, () => {
      return gain * (2 * stream.uniform() - 1);
    });
    return [name, name === 'vgg19/mean' ? Float32Array.of(0.485, 0.456, 0.406) : drawn] as const;
  });
  return {
    parameters: Object.fromEntries(parameters),
    tensors: Object.assign({}, ...tensors) as NamedArrays,
    batch: Object.fromEntries(batch),
    frozen: Object.fromEntries(frozen),
  };
}

function frozenOf(spec: RunSpec): readonly TensorSpec[] {
  return createSrganTask(spec).step(spec.phases.at(-1)!.name).frozen;
}

/** Trains with Lockstep's step and update, lowered for ONNX Runtime. */
async function trainHere(spec: RunSpec): Promise<Trained> {
  const start = startOf(spec);
  const task = createSrganTask(spec);
  const step = task.step(spec.phases.at(-1)!.name);
  const engine = await createEngine('onnx', { threads: 1 });
  const inputs = [...task.batch(count), ...task.networks.flatMap(({ parameters }) => parameters)];
  const graph = await engine.compile(inputs, (given) => {
    const low = given['lr'] as Tensor4D;
    const generated = generate(spec.generator, low, given, trainingNormalization(given));
    const verdicts = discriminate(spec.discriminator, given['hr'] as Tensor4D, generated, given);
    return { generated, ...verdicts };
  });
  const outputs = outputArrays(spec);
  await graph.run({ ...start.batch, ...start.tensors }, outputs);
  await graph.close();
  const own = { ...spec, batch: { ...spec.batch, size: count } };
  const values = { ...start.batch, ...start.tensors, ...start.frozen };
  const first = (await takeSteps(engine, own, values, 1)).outputs;
  const { parameters } = await takeSteps(engine, own, values, steps);
  return {
    outputs,
    metrics: Object.fromEntries(step.metrics.map((name) => [name, first[`metric/${name}`]])),
    gradients: gradientsIn(start.tensors, first),
    parameters,
  };
}

function gradientsIn(tensors: NamedArrays, outputs: NamedArrays): NamedArrays {
  return Object.fromEntries(
    Object.keys(tensors).map((name) => [name, outputs[`gradient/${name}`]]),
  );
}

/** Arrays for the pictures and verdicts of a micro-shard. */
function outputArrays({ dataset: { crop }, discriminator: { head } }: RunSpec): NamedArrays {
  const verdicts = head === 'dense' ? count : count * (crop / 16) ** 2;
  return {
    generated: new Float32Array(count * crop * crop * 3),
    real: new Float32Array(verdicts),
    fake: new Float32Array(verdicts),
  };
}

function pick(arrays: NamedArrays, isWanted: (name: string) => boolean): NamedArrays {
  return Object.fromEntries(Object.entries(arrays).filter(([name]) => isWanted(name)));
}

/** Writes into a folder what test/python/train_step.py reads there; the rest that it asks for. */
async function askPytorch(spec: RunSpec, folder: string) {
  await mkdir(folder);
  const task = createSrganTask(spec);
  const { parameters, tensors, batch, frozen } = startOf(spec);
  const statistics = task.initialStatistics(generatorName);
  const weights = exportPytorch(task, spec.generator, parameters[generatorName], statistics);
  await writeFile(join(folder, 'generator.safetensors'), weights);
  const given: NamedArrays = { ...tensors, ...batch, ...frozen };
  const inputs = [...task.batch(count), ...task.networks[1].parameters, ...frozenOf(spec)].map(
    ({ name, shape }) => ({ name, shape, data: given[name] }),
  );
  await writeFile(join(folder, 'inputs.safetensors'), encodeSafetensors(inputs));
  const { loss, learningRate } = spec.phases.at(-1)!;
  const { optimizer, discriminator } = spec;
  const features = loss.features?.map((one) => {
    const scale = one.network === 'face' ? faceNetwork.scale(one) : 1 / 12.75;
    return { ...one, scale };
  });
  return { folder, loss: { ...loss, features }, learningRate, optimizer, steps, discriminator };
}

/** What it has written there. */
async function readPytorch(spec: RunSpec, folder: string): Promise<Trained> {
  const [generator] = createSrganTask(spec).networks;
  const outputs = decodeSafetensors(await readFile(join(folder, 'outputs.safetensors'))).tensors;
  const under = (prefix: string): NamedArrays => {
    const found = [...outputs.values()].filter(({ name }) => name.startsWith(`${prefix}/`));
    return Object.fromEntries(found.map(({ name, data }) => [name.slice(prefix.length + 1), data]));
  };
  /** The generator's under Lockstep's names and in its order. */
  const ours = (prefix: string): NamedArrays => {
    const values = under(prefix);
    const own = pick(values, (name) => name.startsWith(`${discriminatorName}/`));
    for (const tensor of pytorchTensors(spec.generator, { ...generator, statistics: [] }))
      own[tensor.name] = fromPytorch(tensor, values[tensor.pytorchName]);
    return own;
  };
  return {
    outputs: under('output'),
    metrics: under('metric'),
    gradients: ours('gradient'),
    parameters: ours('trained'),
  };
}
