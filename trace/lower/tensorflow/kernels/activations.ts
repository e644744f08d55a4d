// Activations and their gradients. TensorFlow has one operation for each but PReLU, which is put
// together; the sign it turns on is computed once for value and gradients.

import { attribute, input, output, type KernelCall, type Lowering } from '../lowering.js';
import type { GraphDefBuilder } from '../builder.js';
import { sumTo } from './reduction.js';

const alphaOf = (call: KernelCall) => ({ alpha: { f: attribute<number>(call, 'alpha') } });

const isPositive = (b: GraphDefBuilder, x: string): string => b.op('Greater', [x, b.scalar(0)]);

/** min(x, 0), which the gradient of the slopes needs as well. */
const negativePart = (b: GraphDefBuilder, x: string): string => b.op('Minimum', [x, b.scalar(0)]);

export const activationLowerings: Readonly<Record<string, Lowering>> = {
  LeakyRelu: (b, call) => b.op('LeakyRelu', [input(call, 'x').name], alphaOf(call)),
  LeakyReluGrad: (b, call) =>
    b.op('LeakyReluGrad', [input(call, 'dy').name, input(call, 'x').name], alphaOf(call)),
  ReluGrad: (b, call) => b.op('ReluGrad', [input(call, 'dy').name, input(call, 'x').name]),
  /** 1 where x > 0, else the attribute alpha. */
  Step: (b, call) => {
    const ends = [b.scalar(1), b.scalar(attribute<number>(call, 'alpha'))];
    return b.op('SelectV2', [isPositive(b, input(call, 'x').name), ...ends]);
  },
  Prelu: (b, call) => {
    const [x, alpha] = [input(call, 'x').name, input(call, 'alpha').name];
    const scaled = b.op('Mul', [negativePart(b, x), alpha]);
    return b.op('AddV2', [b.op('Relu', [x]), scaled]);
  },
  PreluGradX: (b, call) => {
    const [dy, x, alpha] = ['dy', 'x', 'alpha'].map((name) => input(call, name).name);
    return b.op('SelectV2', [isPositive(b, x!), dy!, b.op('Mul', [dy!, alpha!])]);
  },
  PreluGradAlpha: (b, call) => {
    const dy = input(call, 'dy');
    const each = b.op('Mul', [dy.name, negativePart(b, input(call, 'x').name)]);
    return sumTo(b, { ...dy, name: each }, output(call).shape);
  },
};
