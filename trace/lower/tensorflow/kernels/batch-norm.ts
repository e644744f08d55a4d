// Batch normalization: one operation forward and one for all gradients. The gradient takes what
// the forward operation reserved for it, which differs from device to device, and never the
// kernel's own mean and variance.

import type { GraphDefBuilder } from '../builder.js';
import { typeAttr } from '../node-def.js';
import { attribute, input, type KernelCall, type Lowering } from '../lowering.js';

const forward = 'FusedBatchNormV3';

function attrsOf(call: KernelCall, isTraining: boolean) {
  return {
    U: typeAttr('float32'),
    epsilon: { f: attribute<number>(call, 'epsilon') },
    is_training: { b: isTraining },
  };
}

const nothing = (b: GraphDefBuilder) =>
  b.constant([0], 'float32', { kind: 'data', data: new Float32Array(0) });

/** A channel's number, where the kernel was given none: of the shape of `like`. */
function channels(b: GraphDefBuilder, call: KernelCall, name: string, otherwise: number): string {
  const { shape } = input(call, 'mean');
  return (
    call.inputs[name]?.name ?? b.constant(shape, 'float32', { kind: 'fill', value: otherwise })
  );
}

export const batchNormLowerings: Readonly<Record<string, Lowering>> = {
  BatchNormTraining: (b, call) => {
    const x = input(call, 'x');
    const none = nothing(b);
    const given = [x.name, input(call, 'scale').name, input(call, 'offset').name, none, none];
    const name = b.op(forward, given, attrsOf(call, true));
    // Output 2 is the unbiased variance, divided by one less than the number of values.
    const count = x.shape.slice(0, 3).reduce((product, extent) => product * extent, 1);
    const biased = b.scalar(Math.max(1, count - 1) / count);
    return [name, `${name}:1`, b.op('Mul', [`${name}:2`, biased])];
  },
  BatchNormTrainingGrad: (b, call) => {
    const [dy, x, scale] = ['dy', 'x', 'scale'].map((name) => input(call, name).name);
    const [reserved, place] = input(call, 'mean').name.split(':');
    if (!reserved?.startsWith(forward) || place !== '1')
      throw new Error('BatchNormTrainingGrad needs the mean that BatchNormTraining gave');
    const spaces = [3, 4, 5].map((i) => `${reserved}:${i}`);
    const name = b.op('FusedBatchNormGradV3', [dy, x, scale, ...spaces], attrsOf(call, true));
    return [name, `${name}:1`, `${name}:2`];
  },
  FusedBatchNorm: (b, call) => {
    const given = ['x', 'mean', 'variance'].map((name) => input(call, name).name);
    const [x, mean, variance] = given as [string, string, string];
    const [scale, offset] = [channels(b, call, 'scale', 1), channels(b, call, 'offset', 0)];
    return b.op(forward, [x, scale, offset, mean, variance], attrsOf(call, false));
  },
};
