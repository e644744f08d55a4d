// A run's picture with something in every field, for what shows it.

import type { RunPicture } from '../../../watch/history/picture.js';

/** A run in its second term, at step 12 of 40. */
export const somePicture: RunPicture = {
  ...{ run: 'faces', url: 'file:///runs/faces', state: 'running', reason: '' },
  ...{ started: '2026-05-01T10:00:00.000Z', time: '2026-05-01T10:01:00.000Z' },
  progressed: '2026-05-01T10:00:59.500Z',
  ...{ step: 12, last_step: 50, until: 40, phase: 'gan' },
  phases: [
    { name: 'pixels', steps: 10 },
    { name: 'gan', steps: 40 },
  ],
  ...{ images_per_step: 16, term: 2, generation: 8, target: 3, images_per_s: 40, eta_s: 11.2 },
  metrics: { 'loss/generator': 0.5, 'loss/discriminator': 1.25, 'score/real': null },
  evaluation: {
    ...{ generation: 8, step: 10, psnr: 23.5, ssim: 0.7, bicubic_psnr: 22.25, bicubic_ssim: 0.6 },
    ...{ faces: 12, sample_key: 'samples/step-00000010.png', url: 'file:///runs/faces/samples' },
    time: '2026-05-01T10:00:50.000Z',
  },
  best: { step: 10, psnr: 23.5 },
  checkpoint: { step: 10, sha256: 'a'.repeat(64), time: '2026-05-01T10:00:52.000Z' },
  workers: [],
  straggler: { worker: 'w-2', phase: 'compute', excess_s: 0.25 },
  ...{ bytes_per_step: 4096, fingerprint: 'onnx 1.2 cpu', health: '' },
  goodput: {
    ...{ share: 0.75, wall_s: 60, useful_s: 45 },
    lost_s: { redone: 4, skipped: 1, lost: 3, membership: 2, starting: 5, other: 0 },
  },
  counts: {
    ...{ worlds: 4, joined: 1, lost: 1, drained: 1, skipped: 1, redone: 2, checkpoints: 2 },
    terms: 2,
  },
  sample_steps: [10],
  news: [],
};
