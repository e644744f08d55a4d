// Run specs for tests: the paper's, and tiny ones that TF.js's CPU backend runs in moments.

import { runSpecSchema, type RunSpec } from '../../../shared/spec/schema.js';

interface Changes {
  readonly crop?: number;
  readonly generator?: Partial<RunSpec['generator']>;
  readonly discriminator?: Partial<RunSpec['discriminator']>;
  readonly loss?: Partial<RunSpec['phases'][number]['loss']>;
}

/** The networks of the SRGAN paper, with a phase `pixel` and a phase `adversarial`. */
export function paperSpec(changes: Changes = {}): RunSpec {
  const phase = { steps: 2, learningRate: { generator: 1e-4, discriminator: 1e-4 } };
  return runSpecSchema.parse({
    version: 1,
    name: 'test',
    seed: 7,
    dataset: {
      url: 'file://nowhere',
      testFraction: 0.1,
      resize: 0,
      crop: changes.crop ?? 96,
      flip: true,
    },
    batch: { microShards: 2, size: 2 },
    generator: {
      blocks: 16,
      channels: 64,
      normalization: 'batch',
      activation: 'prelu',
      order: 'norm-activation',
      upsampling: 'pixel-shuffle',
      upsamplingChannels: 256,
      skip: 'none',
      output: 'tanh',
      ...changes.generator,
    },
    discriminator: {
      channels: 64,
      normalization: 'batch',
      order: 'norm-activation',
      head: 'dense',
      hidden: 1024,
      ...changes.discriminator,
    },
    optimizer: { beta1: 0.9, beta2: 0.999, epsilon: 1e-8 },
    statisticsMomentum: 0.9,
    phases: [
      { ...phase, name: 'pixel', loss: { pixel: 1, adversarial: 0 } },
      { ...phase, name: 'adversarial', loss: { pixel: 1, adversarial: 1e-3, ...changes.loss } },
    ],
    checkpoint: { everySteps: 2, keep: 2 },
    evaluation: { everySteps: 0, faces: 1, limit: 1 },
    engine: { name: 'onnx', threads: 1 },
  });
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
