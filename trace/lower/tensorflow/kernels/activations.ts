// Activations and their gradients. TensorFlow has one operation for each but PReLU, which is put
// together; the sign it turns on is computed once for value and gradients. A gradient takes the
// activation's result instead of its input, which has the same sign: with one use less, the input
// can be fused into the operation before it (where it has two, TensorFlow 2.21's remapper fails).

import { attribute, input, output, type KernelCall, type Lowering } from '../lowering.js';
import type { GraphDefBuilder } from '../builder.js';
import { sumTo } from './reduction.js';

const alphaOf = (call: KernelCall) => ({ alpha: { f: attribute<number>(call, 'alpha') } });

const isPositive = (b: GraphDefBuilder, x: string): string => b.op('Greater', [x, b.scalar(0)]);

/** What PReLU multiplies each value by, and its gradient as well. */
function slopes(b: GraphDefBuilder, x: string, alpha: string): string {
  return b.op('SelectV2', [isPositive(b, x), b.scalar(1), alpha]);
}

export const activationLowerings: Readonly<Record<string, Lowering>> = {
  LeakyRelu: (b, call) => b.op('LeakyRelu', [input(call, 'x').name], alphaOf(call)),
  LeakyReluGrad: (b, call) => {
    const [dy, x] = ['dy', 'x'].map((name) => input(call, name).name);
    const keepsSign = attribute<number>(call, 'alpha') >= 0;
    const features = keepsSign ? b.op('LeakyRelu', [x], alphaOf(call)) : x;
    return b.op('LeakyReluGrad', [dy, features], alphaOf(call));
  },
  ReluGrad: (b, call) => {
    const [dy, x] = ['dy', 'x'].map((name) => input(call, name).name);
    return b.op('ReluGrad', [dy, b.op('Relu', [x])]);
  },
  /** 1 where x > 0, else the attribute alpha. */
  Step: (b, call) => {
    const ends = [b.scalar(1), b.scalar(attribute<number>(call, 'alpha'))];
    return b.op('SelectV2', [isPositive(b, input(call, 'x').name), ...ends]);
  },
  Prelu: (b, call) => {
    const [x, alpha] = ['x', 'alpha'].map((name) => input(call, name).name);
    return b.op('Mul', [x, slopes(b, x, alpha)]);
  },
  PreluGradX: (b, call) => {
    const [dy, x, alpha] = ['dy', 'x', 'alpha'].map((name) => input(call, name).name);
    return b.op('Mul', [dy, slopes(b, x, alpha)]);
  },
  PreluGradAlpha: (b, call) => {
    const dy = input(call, 'dy');
    const each = b.op('Mul', [dy.name, b.op('Minimum', [input(call, 'x').name, b.scalar(0)])]);
    return sumTo(b, { ...dy, name: each }, output(call).shape);
  },
};
