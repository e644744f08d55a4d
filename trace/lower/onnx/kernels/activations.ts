// Activations and their gradients. A gradient's choice by sign is arithmetic on a slope, not a
// boolean choice: ONNX Runtime's Where takes three passes over memory, Clip one.

import type { OnnxBuilder } from '../builder.js';
import { attribute, input, outputShape, type KernelCall, type Lowering } from '../lowering.js';
import { filled, type OnnxValue } from '../value.js';
import { elementwise, scalar } from './elementwise.js';
import { sumTo } from './reduction.js';

// Times this, any positive normal number is at least 1 (and any negative one at most -1).
const huge = 1e38;

/** 1 where x > 0, else `slope` (a number from 0 to 1). */
function slopes(b: OnnxBuilder, x: OnnxValue, slope: number): OnnxValue {
  const large = elementwise(b, 'Mul', [x, scalar(huge)], x.shape);
  return elementwise(b, 'Clip', [large, scalar(slope), scalar(1)], x.shape);
}

function isPositive(b: OnnxBuilder, x: OnnxValue): OnnxValue {
  return elementwise(b, 'Greater', [x, scalar(0)], x.shape, 'bool');
}

function slopedGradient(b: OnnxBuilder, call: KernelCall, slope: number): OnnxValue {
  const [dy, x] = [input(call, 'dy'), input(call, 'x')];
  if (slope >= 0 && slope <= 1)
    return elementwise(b, 'Mul', [dy, slopes(b, x, slope)], outputShape(call));
  const below = elementwise(b, 'Mul', [dy, scalar(slope)], dy.shape);
  return elementwise(b, 'Where', [isPositive(b, x), dy, below], outputShape(call));
}

export const activationLowerings: Readonly<Record<string, Lowering>> = {
  LeakyRelu: (b, call) => {
    const alpha = { float: attribute<number>(call, 'alpha') };
    return elementwise(b, 'LeakyRelu', [input(call, 'x')], outputShape(call), 'float32', { alpha });
  },
  Prelu: (b, call) => {
    const operands = [input(call, 'x'), input(call, 'alpha')];
    return elementwise(b, 'PRelu', operands, outputShape(call));
  },
  Step: (b, call) => {
    const x = input(call, 'x');
    const one = filled(1, [], 'float32');
    const below = scalar(attribute<number>(call, 'alpha'));
    return elementwise(b, 'Where', [isPositive(b, x), one, below], x.shape);
  },
  ReluGrad: (b, call) => slopedGradient(b, call, 0),
  LeakyReluGrad: (b, call) => slopedGradient(b, call, attribute<number>(call, 'alpha')),
  // PReLU of dy by the sign of x: dy where x > 0, else alpha * dy.
  PreluGradX: (b, call) => {
    const [dy, x, alpha] = [input(call, 'dy'), input(call, 'x'), input(call, 'alpha')];
    const positive = isPositive(b, x);
    const below = elementwise(b, 'Mul', [dy, alpha], dy.shape);
    return elementwise(b, 'Where', [positive, dy, below], outputShape(call));
  },
  PreluGradAlpha: (b, call) => {
    const [dy, x] = [input(call, 'dy'), input(call, 'x')];
    const below = elementwise(b, 'Min', [x, scalar(0)], x.shape);
    const each = elementwise(b, 'Mul', [dy, below], dy.shape);
    return sumTo(b, each, outputShape(call));
  },
};
