// The generator: head, residual blocks, two upsampling stages, tail (Ledig et al. 2017, figure 4,
// and the variations of the spec).

import { add, concat, depthToSpace, mul, sub, tanh, type Tensor4D } from '@tensorflow/tfjs-core';
import type { TensorSpec } from '../../shared/layout.js';
import type { GeneratorSpec } from '../../shared/spec/schema.js';
import type { NamedTensors } from '../task.js';
import { bicubicRadius, enlargeBicubic } from './bicubic.js';
import type { Parameter } from './initial.js';
import { runUnit, unitParameters, unitStatistics, type Normalization, type Unit } from './units.js';

/** Name of the network, and prefix of its tensors. */
export const generatorName = 'generator';

interface GeneratorUnits {
  readonly head: Unit;
  readonly blocks: readonly { readonly first: Unit; readonly second: Unit }[];
  readonly middle: Unit;
  readonly stages: readonly Unit[];
  readonly tail: Unit;
}

/**
 * The generator's forward pass: low resolution [n, h, w, 3] in [0, 1] to [n, 4h, 4w, 3], nominally
 * in [-1, 1].
 */
export function generate(
  spec: GeneratorSpec,
  low: Tensor4D,
  p: NamedTensors,
  normalization: Normalization,
): Tensor4D {
  const units = generatorUnits(spec);
  const head = runUnit(units.head, low, p, normalization);
  let y = head;
  for (const { first, second } of units.blocks)
    y = add(y, runUnit(second, runUnit(first, y, p, normalization), p, normalization));
  y = add(head, runUnit(units.middle, y, p, normalization));
  for (const stage of units.stages)
    y = runUnit(stage, stage.isShuffled ? y : enlargeNearest(y), p, normalization);
  y = runUnit(units.tail, y, p, normalization);
  if (spec.output === 'tanh') y = tanh(y);
  return spec.skip === 'bicubic' ? add(y, enlargeBicubic(sub(mul(low, 2), 1))) : y;
}

/** Trainable tensors of the generator, in the order of the forward pass. */
export function generatorParameters(spec: GeneratorSpec): Parameter[] {
  return unitList(spec).flatMap(unitParameters);
}

/** Running BatchNorm statistics of the generator. */
export function generatorStatistics(spec: GeneratorSpec): TensorSpec[] {
  return unitList(spec).flatMap(unitStatistics);
}

/** How far, in low-resolution pixels, a generated pixel sees: half sides added up, rounded up. */
export function generatorRadius(spec: GeneratorSpec): number {
  const { head, blocks, middle, stages, tail } = generatorUnits(spec);
  const reach = (unit: Unit, scale: number) => (unit.side - 1) / 2 / scale;
  const body = blocks.reduce(
    (sum, { first, second }) => sum + reach(first, 1) + reach(second, 1),
    0,
  );
  // A shuffled stage convolves before it enlarges, a nearest one afterwards (and looks up a pixel).
  const stage = stages.reduce(
    (sum, unit, i) => sum + (unit.isShuffled ? reach(unit, 2 ** i) : reach(unit, 2 ** (i + 1))),
    0,
  );
  const network = reach(head, 1) + body + reach(middle, 1) + stage + reach(tail, 4);
  // One more: a pixel's own place within its low-resolution pixel.
  return Math.max(Math.ceil(network) + 1, spec.skip === 'bicubic' ? bicubicRadius : 0);
}

function unitList(spec: GeneratorSpec): Unit[] {
  const { head, blocks, middle, stages, tail } = generatorUnits(spec);
  const body = blocks.flatMap(({ first, second }) => [first, second]);
  return [head, ...body, middle, ...stages, tail];
}

function generatorUnits(spec: GeneratorSpec): GeneratorUnits {
  const isNormalized = spec.normalization === 'batch';
  const isShuffled = spec.upsampling === 'pixel-shuffle';
  const { channels, activation, order, upsamplingChannels: wide } = spec;
  const unit = (name: string, rest: Partial<Unit>): Unit => ({
    name: `${generatorName}/${name}`,
    side: 3,
    inputs: channels,
    outputs: channels,
    stride: 1,
    isShuffled: false,
    isNormalized: false,
    order,
    activation: 'none',
    gain: 1,
    copies: 1,
    ...rest,
  });
  const narrow = isShuffled ? wide / 4 : wide;
  const copies = spec.initialization === 'icnr' ? 4 : 1;
  return {
    head: unit('head', { side: 9, inputs: 3, activation }),
    blocks: Array.from({ length: spec.blocks }, (_, i) => ({
      first: unit(`block${i}/first`, { isNormalized, activation }),
      second: unit(`block${i}/second`, { isNormalized }),
    })),
    middle: unit('middle', { isNormalized }),
    stages: [channels, narrow].map((inputs, i) =>
      unit(`stage${i}`, { inputs, outputs: wide, isShuffled, activation, copies }),
    ),
    tail: unit('tail', { side: 9, inputs: narrow, outputs: 3, gain: tailGain(spec) }),
  };
}

/** On top of the bicubic picture training starts at nearly that picture. */
function tailGain(spec: GeneratorSpec): number {
  return spec.skip === 'bicubic' ? 0.1 : 1;
}

/** Every pixel twice in both directions; of kernels that do not name the picture's size. */
function enlargeNearest(x: Tensor4D): Tensor4D {
  return depthToSpace(concat([x, x, x, x], 3), 2);
}
