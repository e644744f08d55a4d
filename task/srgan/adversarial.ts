// What the two networks pay each other, by the phase's objective: the discriminator for verdicts
// that are wrong, the generator for pictures that are found out. All are means over the
// micro-shard, so that the mean over micro-shards is the batch's loss; the relativistic one also
// compares within a micro-shard, never across.

import {
  add,
  mean,
  mul,
  neg,
  sigmoid,
  softplus,
  square,
  sub,
  type Scalar,
  type Tensor,
} from '@tensorflow/tfjs-core';
import type { PhaseSpec } from '../../shared/spec/schema.js';
import type { Verdicts } from './discriminator.js';

type Objective = PhaseSpec['loss']['objective'];

/**
 * What the generator pays. `bce`: -log D(G) = softplus(-logit) (Ledig et al. 2017, equation 6);
 * `lsgan`: (sigmoid - 1)² (Mao et al. 2017, as Keras-GAN has it); `relativistic`: cross entropy for
 * generated pictures that look less real than the real ones do on average, and the other way round
 * (Jolicoeur-Martineau 2018, "The relativistic discriminator"; ESRGAN, Wang et al. 2018).
 */
export function adversarialLoss(objective: Objective, verdicts: Verdicts): Scalar {
  const { real, fake } = comparedVerdicts(objective, verdicts);
  if (objective === 'lsgan') return meanSquare(sub(sigmoid(fake), 1));
  const foundOut = meanSoftplus(neg(fake));
  return objective === 'bce' ? foundOut : add(foundOut, meanSoftplus(real));
}

/**
 * What the discriminator pays: for real pictures not believed, and for generated ones believed.
 * Below 1, `realLabel` is the probability that it is to give to a real picture: one-sided label
 * smoothing (Salimans et al. 2016, "Improved techniques for training GANs", section 3.4).
 */
export function discriminatorLoss(
  objective: Objective,
  verdicts: Verdicts,
  realLabel: number,
): Scalar {
  const { real, fake } = comparedVerdicts(objective, verdicts);
  if (objective === 'lsgan')
    return add(meanSquare(sub(sigmoid(real), realLabel)), meanSquare(sigmoid(fake)));
  const notBelieved = meanSoftplus(neg(real));
  const believed = meanSoftplus(fake);
  if (realLabel === 1) return add(notBelieved, believed);
  // Cross entropy with label t: -t log D - (1 - t) log(1 - D) = softplus(-logit) + (1 - t) logit.
  return add(add(notBelieved, mul(mean<Scalar>(real), 1 - realLabel)), believed);
}

/**
 * Mean probabilities that real and that generated pictures are real; by the relativistic objective
 * that they are more real than the others are on average.
 */
export function meanScores(
  objective: Objective,
  verdicts: Verdicts,
): Record<keyof Verdicts, Scalar> {
  const { real, fake } = comparedVerdicts(objective, verdicts);
  return { real: mean<Scalar>(sigmoid(real)), fake: mean<Scalar>(sigmoid(fake)) };
}

/** The logits that the losses are taken of: relativistic ones less the mean of the other kind's. */
function comparedVerdicts(objective: Objective, { real, fake }: Verdicts): Verdicts {
  if (objective !== 'relativistic') return { real, fake };
  return { real: sub(real, mean(fake)), fake: sub(fake, mean(real)) };
}

function meanSoftplus(x: Tensor): Scalar {
  return mean<Scalar>(softplus(x));
}

function meanSquare(x: Tensor): Scalar {
  return mean<Scalar>(square(x));
}
