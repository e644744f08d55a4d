// The reference backend: TF.js's own CPU kernels, slow and trusted.

import { setBackend } from '@tensorflow/tfjs-core';
import { registerReferences } from '../../../task/ops/references.js';

/** Loads TF.js's CPU backend, with references for the added kernels, and makes it current. */
export async function loadReferenceBackend(): Promise<void> {
  await import('@tensorflow/tfjs-backend-cpu');
  registerReferences('cpu');
  await setBackend('cpu');
}
