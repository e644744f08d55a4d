// The losses as formulas on tensors; all are means, so that the mean over micro-shards is the
// batch's loss.

import {
  abs,
  add,
  mean,
  neg,
  sigmoid,
  softplus,
  square,
  squaredDifference,
  sub,
  type Scalar,
  type Tensor,
} from '@tensorflow/tfjs-core';
import type { PhaseSpec } from '../../shared/spec/schema.js';
import type { Verdicts } from './discriminator.js';

type LossSpec = PhaseSpec['loss'];

/** Mean squared error; pictures in [-1, 1], so PSNR = 10 log10(4 / error). */
export function meanSquaredError(generated: Tensor, original: Tensor): Scalar {
  return mean<Scalar>(squaredDifference(generated, original));
}

/** Mean squared or mean absolute difference of pictures in [-1, 1]. */
export function pixelLoss(
  norm: LossSpec['pixelNorm'],
  generated: Tensor,
  original: Tensor,
): Scalar {
  if (norm === 'mse') return meanSquaredError(generated, original);
  return mean<Scalar>(abs(sub(generated, original)));
}

/**
 * What the generator pays for being found out. `bce`: -log D(G) = softplus(-logit) (Ledig et al.
 * 2017, equation 6); `lsgan`: (sigmoid - 1)² (Mao et al. 2017, as Keras-GAN has it).
 */
export function adversarialLoss(objective: LossSpec['objective'], fake: Tensor): Scalar {
  return objective === 'bce' ? meanSoftplus(neg(fake)) : meanSquare(sub(sigmoid(fake), 1));
}

/** What the discriminator pays: for real pictures not believed, and for generated ones believed. */
export function discriminatorLoss(objective: LossSpec['objective'], verdicts: Verdicts): Scalar {
  const { real, fake } = verdicts;
  if (objective === 'bce') return add(meanSoftplus(neg(real)), meanSoftplus(fake));
  return add(meanSquare(sub(sigmoid(real), 1)), meanSquare(sigmoid(fake)));
}

/** Mean probability that the discriminator gives for "real". */
export function meanScore(logits: Tensor): Scalar {
  return mean<Scalar>(sigmoid(logits));
}

function meanSoftplus(x: Tensor): Scalar {
  return mean<Scalar>(softplus(x));
}

function meanSquare(x: Tensor): Scalar {
  return mean<Scalar>(square(x));
}
