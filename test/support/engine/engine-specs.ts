// Small SRGAN specs whose step TF.js's CPU backend can take in about a second.

import type { RunSpec } from '../../../shared/spec/schema.js';

/** The paper's wiring at a small size: one block of 8 channels, crops of 32. */
export function tinySpec(): RunSpec {
  return {
    version: 1,
    name: 'tiny',
    seed: 7,
    dataset: { url: 'file:///nowhere', testFraction: 0, resize: 0, crop: 32, flip: true },
    batch: { microShards: 2, size: 2 },
    generator: {
      blocks: 2,
      channels: 8,
      normalization: 'batch',
      activation: 'prelu',
      order: 'norm-activation',
      upsampling: 'pixel-shuffle',
      upsamplingChannels: 16,
      skip: 'none',
      output: 'tanh',
    },
    discriminator: {
      channels: 4,
      normalization: 'batch',
      order: 'norm-activation',
      head: 'dense',
      hidden: 16,
    },
    optimizer: { beta1: 0.9, beta2: 0.999, epsilon: 1e-8 },
    statisticsMomentum: 0.9,
    phases: [
      {
        name: 'gan',
        steps: 4,
        loss: { pixel: 1, pixelNorm: 'mse', adversarial: 1e-3, objective: 'bce' },
        learningRate: { generator: 1e-4, discriminator: 1e-4 },
      },
    ],
    checkpoint: { everySteps: 2, keep: 2 },
    evaluation: { everySteps: 0, faces: 1, limit: 1 },
    engine: { name: 'onnx', threads: 1 },
  };
}

/** Keras-GAN's wiring: ReLU before normalization, nearest neighbours, patches, least squares. */
export function tinyPatchSpec(): RunSpec {
  const spec = tinySpec();
  return {
    ...spec,
    generator: {
      ...spec.generator,
      activation: 'relu',
      order: 'activation-norm',
      upsampling: 'nearest',
      skip: 'bicubic',
      output: 'linear',
    },
    discriminator: { ...spec.discriminator, order: 'activation-norm', head: 'patch' },
    phases: spec.phases.map((phase) => ({
      ...phase,
      loss: { ...phase.loss, pixelNorm: 'mae', objective: 'lsgan' },
    })),
  };
}
