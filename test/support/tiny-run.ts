// A run that is small but has everything: both phases, BatchNorm in both networks, an epoch that
// ends within a step, and micro-shards enough for five workers.

import { stringify } from 'yaml';
import type { RunSpec } from '../../shared/spec/schema.js';

/** A spec as YAML; `parseSpec` of it gives an equal spec. */
export function printSpec(spec: RunSpec): string {
  return stringify(spec, { lineWidth: 100 });
}

/** The tiny run over the dataset at `datasetUrl`: 3 steps of pixel loss, then adversarial ones. */
export function tinyRun(datasetUrl: string, adversarialSteps = 3): RunSpec {
  const loss = { pixel: 1, pixelNorm: 'mse', objective: 'bce' } as const;
  return {
    version: 1,
    name: 'tiny',
    seed: 11,
    dataset: { url: datasetUrl, testFraction: 0.2, resize: 0, crop: 32, flip: true },
    batch: { microShards: 5, size: 2 },
    generator: {
      blocks: 1,
      channels: 8,
      normalization: 'batch',
      activation: 'prelu',
      order: 'norm-activation',
      upsampling: 'pixel-shuffle',
      upsamplingChannels: 16,
      skip: 'bicubic',
      output: 'linear',
    },
    discriminator: {
      channels: 4,
      normalization: 'batch',
      order: 'norm-activation',
      head: 'dense',
      hidden: 8,
    },
    optimizer: { beta1: 0.9, beta2: 0.999, epsilon: 1e-8 },
    statisticsMomentum: 0.9,
    phases: [
      {
        name: 'pixel',
        steps: 3,
        loss: { ...loss, adversarial: 0 },
        learningRate: { generator: 1e-3, discriminator: 0 },
      },
      {
        name: 'adversarial',
        steps: adversarialSteps,
        loss: { ...loss, adversarial: 1e-3 },
        learningRate: { generator: 1e-3, discriminator: 1e-3 },
      },
    ],
    checkpoint: { everySteps: 4, keep: 3 },
    evaluation: { everySteps: 0, faces: 2, limit: 3 },
    engine: { name: 'onnx', threads: 1 },
  };
}
