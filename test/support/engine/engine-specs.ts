// Small SRGAN specs whose step TF.js's CPU backend can take in about a second.

import type { RunSpec } from '../../../shared/spec/schema.js';
import { tinyRun } from '../tiny-run.js';

/** The paper's wiring at a small size: two blocks of 8 channels, crops of 32. */
export function tinySpec(): RunSpec {
  const tiny = tinyRun('file:///nowhere');
  return {
    ...tiny,
    seed: 7,
    batch: { microShards: 2, size: 2 },
    generator: { ...tiny.generator, blocks: 2, skip: 'none', output: 'tanh' },
    discriminator: { ...tiny.discriminator, hidden: 16 },
    phases: [
      {
        name: 'gan',
        steps: 4,
        loss: { pixel: 1, pixelNorm: 'mse', adversarial: 1e-3, objective: 'bce' },
        learningRate: { generator: 1e-4, discriminator: 1e-4 },
      },
    ],
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
