// Run specs of SRGAN: the paper's, and small ones of its wiring that TF.js's CPU backend runs in
// moments. Their steps, as functions with values for their inputs.

import { createLayout, sizeOf, sliceViews, type TensorSpec } from '../../../shared/layout.js';
import { loadPreset } from '../../../shared/spec/load.js';
import type { RunSpec } from '../../../shared/spec/schema.js';
import { createSrganTask } from '../../../task/srgan/task.js';
import type { NamedTensors } from '../../../task/task.js';
import { randomInputs, type NamedArrays } from './graph-parity.js';

interface Changes {
  readonly crop?: number;
  readonly generator?: Partial<RunSpec['generator']>;
  readonly discriminator?: Partial<RunSpec['discriminator']>;
  /** Of the phase `adversarial`. */
  readonly loss?: Partial<RunSpec['phases'][number]['loss']>;
}

/** The networks of the SRGAN paper, with a phase `pixel` and a phase `adversarial`. */
export function paperSpec(changes: Changes = {}): RunSpec {
  const preset = loadPreset('paper');
  const [pixel, adversarial] = preset.phases;
  return {
    ...preset,
    name: 'test',
    seed: 7,
    dataset: { ...preset.dataset, url: 'file://nowhere', crop: changes.crop ?? 96 },
    batch: { microShards: 2, size: 2 },
    generator: { ...preset.generator, ...changes.generator },
    discriminator: { ...preset.discriminator, ...changes.discriminator },
    phases: [
      { ...pixel, name: 'pixel', steps: 2 },
      {
        ...{ ...adversarial, name: 'adversarial', steps: 2 },
        loss: { ...adversarial.loss, ...changes.loss },
      },
    ],
    exchange: { factored: 'never' },
    engine: { name: 'onnx', threads: 1 },
  };
}

/** One block of few channels, crops of 16. */
export function tinySpec(changes: Changes = {}): RunSpec {
  return paperSpec({
    crop: 16,
    ...changes,
    generator: { blocks: 1, channels: 4, upsamplingChannels: 8, ...changes.generator },
    discriminator: { channels: 2, hidden: 6, ...changes.discriminator },
  });
}

/** Keras-GAN's wiring: ReLU before normalization, nearest neighbours, patches, least squares. */
export const kerasGan = {
  generator: { activation: 'relu', order: 'activation-norm', upsampling: 'nearest' },
  discriminator: { order: 'activation-norm', head: 'patch' },
  loss: { objective: 'lsgan' },
} as const satisfies Changes;

const small = {
  generator: { blocks: 2, channels: 8, upsamplingChannels: 16 },
  discriminator: { channels: 4, hidden: 16 },
};

/** Two wirings with channels enough for every way that an engine lowers a convolution. */
export const engineSpecs: readonly (readonly [string, RunSpec])[] = [
  ['the paper, at a small size', tinySpec({ crop: 32, ...small })],
  [
    'Keras-GAN on the bicubic picture, at a small size',
    tinySpec({
      crop: 32,
      generator: { ...small.generator, ...kerasGan.generator, skip: 'bicubic', output: 'linear' },
      discriminator: { ...small.discriminator, ...kerasGan.discriminator },
      loss: { ...kerasGan.loss, pixelNorm: 'mae' },
    }),
  ],
  [
    'features of both frozen networks beside the pixels',
    tinySpec({
      crop: 32,
      ...small,
      loss: {
        features: [
          { network: 'face', layer: 'conv32_1', activation: 'before', norm: 'mse', weight: 1 },
          { network: 'face', layer: 'conv128_2', activation: 'after', norm: 'mae', weight: 0.5 },
          { network: 'vgg19', layer: 'vgg22', activation: 'after', norm: 'mse', weight: 1 },
          { network: 'vgg19', layer: 'conv3_1', activation: 'before', norm: 'mse', weight: 2 },
        ],
      },
    }),
  ],
];

/** The first of them, with the factors of a dense layer's gradient in its place. */
export const factoredSpec: RunSpec = { ...engineSpecs[0][1], exchange: { factored: 'auto' } };

/** A step as a function, with values for its inputs. */
export interface StepCase {
  readonly inputs: readonly TensorSpec[];
  readonly values: NamedArrays;
  run(inputs: NamedTensors): NamedTensors;
}

/** The step of the spec's phase at `phase` on random pictures, at the initial parameters. */
export function stepOf(spec: RunSpec, phase = -1): StepCase {
  const task = createSrganTask(spec);
  const step = task.step(spec.phases.at(phase)!.name);
  const networks = task.networks.filter(({ name }) => step.reads.includes(name));
  const batch = task.batch(spec.batch.size);
  const values = randomInputs(batch, 5);
  for (const { name, parameters } of networks)
    Object.assign(values, sliceViews(createLayout(parameters), task.initialParameters(name, 3)));
  // Such as keep the size of what goes through them.
  for (const { name, shape } of step.frozen) {
    const gain = Math.sqrt(2 / sizeOf(shape.slice(0, -1)));
    const { [name]: drawn } = randomInputs([{ name, shape }], 9);
    values[name] = drawn.map((value) => value * (shape.length === 1 ? 0.1 : gain));
  }
  return {
    inputs: [...batch, ...networks.flatMap(({ parameters }) => parameters), ...step.frozen],
    values,
    run: (inputs) => {
      const { gradients, statistics, metrics } = step.run(inputs);
      return { ...gradients, ...statistics, ...metrics };
    },
  };
}
