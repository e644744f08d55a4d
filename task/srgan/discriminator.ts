// The discriminator: eight convolutions, then two dense layers (Ledig et al. 2017, figure 4), on
// the flattened picture or at every position. It never runs outside training, so it always
// normalizes by the micro-shard's own statistics and keeps no running ones.

import {
  add,
  concat,
  leakyRelu,
  matMul,
  reshape,
  split,
  type Tensor1D,
  type Tensor2D,
  type Tensor4D,
} from '@tensorflow/tfjs-core';
import type { DiscriminatorSpec } from '../../shared/spec/schema.js';
import type { NamedTensors } from '../task.js';
import type { Parameter } from './initial.js';
import { runUnit, trainingNormalization, unitParameters, type Unit } from './units.js';

/** Name of the network, and prefix of its tensors. */
export const discriminatorName = 'discriminator';

/** Pixels a side of the picture for each position that is left after the convolutions. */
const shrinkage = 16;

/** Logits that a picture is real: [n, 1], or [n * positions, 1] for the head `patch`. */
export interface Verdicts {
  readonly real: Tensor2D;
  readonly fake: Tensor2D;
}

/**
 * Judges real and generated pictures [n, side, side, 3]. The two pass the convolutions apart, each
 * normalized by its own statistics, and the head together: one matrix product for both.
 * Both losses call this with the same tensors, so a traced step holds it once.
 */
export function discriminate(
  spec: DiscriminatorSpec,
  real: Tensor4D,
  fake: Tensor4D,
  p: NamedTensors,
): Verdicts {
  const features = concat([real, fake].map((pictures) => extractFeatures(spec, pictures, p)));
  const hidden = leakyRelu(dense(features, 'hidden', p), 0.2);
  const [realVerdicts, fakeVerdicts] = split(dense(hidden, 'verdict', p), 2);
  return { real: realVerdicts as Tensor2D, fake: fakeVerdicts as Tensor2D };
}

/** Trainable tensors of the discriminator for crops of `side` pixels. */
export function discriminatorParameters(spec: DiscriminatorSpec, side: number): Parameter[] {
  const positions = spec.head === 'dense' ? (side / shrinkage) ** 2 : 1;
  const features = positions * 8 * spec.channels;
  return [
    ...discriminatorUnits(spec).flatMap(unitParameters),
    ...denseParameters('hidden', features, spec.hidden),
    ...denseParameters('verdict', spec.hidden, 1),
  ];
}

/** [n, side, side, 3] to one row of features a picture, or a position for the head `patch`. */
function extractFeatures(spec: DiscriminatorSpec, pictures: Tensor4D, p: NamedTensors): Tensor2D {
  const normalization = trainingNormalization(p);
  let y = pictures;
  for (const unit of discriminatorUnits(spec)) y = runUnit(unit, y, p, normalization);
  const [count, height, width, channels] = y.shape;
  return spec.head === 'dense'
    ? reshape(y, [count, height * width * channels])
    : reshape(y, [count * height * width, channels]);
}

function discriminatorUnits(spec: DiscriminatorSpec): Unit[] {
  const widths = [1, 1, 2, 2, 4, 4, 8, 8].map((factor) => factor * spec.channels);
  return widths.map((outputs, i) => ({
    name: `${discriminatorName}/conv${i}`,
    side: 3,
    inputs: i === 0 ? 3 : widths[i - 1],
    outputs,
    stride: i % 2 === 0 ? 1 : 2,
    isShuffled: false,
    isNormalized: i > 0 && spec.normalization === 'batch',
    order: spec.order,
    activation: 'leaky',
    gain: 1,
    copies: 1,
  }));
}

function dense(x: Tensor2D, name: string, p: NamedTensors): Tensor2D {
  const weights = p[`${discriminatorName}/${name}/weights`] as Tensor2D;
  return add(matMul(x, weights), p[`${discriminatorName}/${name}/bias`] as Tensor1D);
}

function denseParameters(name: string, inputs: number, outputs: number): Parameter[] {
  const prefix = `${discriminatorName}/${name}`;
  return [
    {
      name: `${prefix}/weights`,
      shape: [inputs, outputs],
      start: { kind: 'uniform', gain: 1, copies: 1 },
    },
    { name: `${prefix}/bias`, shape: [outputs], start: { kind: 'constant', value: 0 } },
  ];
}
