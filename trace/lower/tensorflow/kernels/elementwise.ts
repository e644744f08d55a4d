// Value by value, and activations with their gradients. Most kernels have an operation of their
// own, with the same broadcasting; PReLU is put together, and the sign it turns on is computed once
// for value and gradients. A gradient takes the activation's result instead of its input, which has
// the same sign: with one use less, the input can be fused into the operation before it (where it
// has two, TensorFlow 2.21's remapper fails).

import { attribute, input, inputsOf, output, type KernelCall } from '../../lowering.js';
import {
  namesOf,
  plainOp,
  type GraphDefBuilder,
  type TensorflowLowering,
  type TensorflowLowerings,
  type TensorRef,
} from '../builder.js';
import { integerAttr, typeAttr } from '../node-def.js';
import { sumBroadcast } from './movement.js';

/** Operations that are named otherwise than the kernel. */
const otherNames: Readonly<Record<string, string>> = { Multiply: 'Mul' };

const all = (kernels: readonly string[], ...inputs: string[]): TensorflowLowerings =>
  Object.fromEntries(kernels.map((k) => [k, plainOp(otherNames[k] ?? k, ...inputs)]));

/** An operation on booleans, which has no type attribute. */
const logical =
  (op: string, ...names: string[]): TensorflowLowering =>
  (b, call) =>
    b.op(op, namesOf(inputsOf(call, ...names)), {}, null);

/** A value a channel is a bias: TensorFlow fuses it into the convolution before it. */
const add: TensorflowLowering = (b, call) => {
  const [x, y] = inputsOf(call, 'a', 'b');
  const isBias = (bias: TensorRef, to: TensorRef) =>
    bias.dtype === 'float32' &&
    bias.shape.length === 1 &&
    to.shape.length > 1 &&
    to.shape.at(-1) === bias.shape[0];
  if (isBias(y, x)) return b.op('BiasAdd', [x.name, y.name]);
  if (isBias(x, y)) return b.op('BiasAdd', [y.name, x.name]);
  return b.op('AddV2', [x.name, y.name], {}, x.dtype);
};

const alphaOf = (call: KernelCall<TensorRef>) => ({
  alpha: { f: attribute<number>(call, 'alpha') },
});

/** 1 where x > 0, else `below`: what PReLU multiplies each value by, and its gradient as well. */
function slopes(b: GraphDefBuilder, x: string, below: string): string {
  return b.op('SelectV2', [b.op('Greater', [x, b.scalar(0)]), b.scalar(1), below]);
}

export const elementwiseToTensorflow: TensorflowLowerings = {
  ...all(['Neg', 'Abs', 'Sign', 'Square', 'Sqrt', 'Rsqrt', 'Reciprocal', 'Exp', 'Log'], 'x'),
  ...all(['Log1p', 'Sigmoid', 'Tanh', 'Softplus', 'Relu', 'Relu6', 'Floor', 'Identity'], 'x'),
  ...all(['Sub', 'Multiply', 'RealDiv', 'Maximum', 'Minimum', 'Pow'], 'a', 'b'),
  ...all(['SquaredDifference', 'Equal', 'NotEqual'], 'a', 'b'),
  ...all(['Greater', 'GreaterEqual', 'Less', 'LessEqual'], 'a', 'b'),
  Add: add,
  AddN: (b, call) => {
    const names = namesOf(Object.values(call.inputs));
    return b.op('AddN', names, { N: integerAttr(names.length) }, output(call).dtype);
  },
  LogicalNot: logical('LogicalNot', 'x'),
  LogicalAnd: logical('LogicalAnd', 'a', 'b'),
  LogicalOr: logical('LogicalOr', 'a', 'b'),
  Select: (b, call) => {
    const names = namesOf(inputsOf(call, 'condition', 't', 'e'));
    return b.op('SelectV2', names, {}, output(call).dtype);
  },
  Cast: (b, call) => {
    const x = input(call, 'x');
    const types = { SrcT: typeAttr(x.dtype), DstT: typeAttr(output(call).dtype) };
    return b.op('Cast', [x.name], types, null);
  },
  ClipByValue: (b, call) => {
    const bounds = ['min', 'max'].map((name) => b.scalar(attribute(call, name)));
    return b.op('ClipByValue', [input(call, 'x').name, ...bounds]);
  },
  ReluGrad: (b, call) => {
    const [dy, x] = namesOf(inputsOf(call, 'dy', 'x'));
    return b.op('ReluGrad', [dy, b.op('Relu', [x])]);
  },
  LeakyRelu: (b, call) => b.op('LeakyRelu', [input(call, 'x').name], alphaOf(call)),
  LeakyReluGrad: (b, call) => {
    const [dy, x] = namesOf(inputsOf(call, 'dy', 'x'));
    const keepsSign = attribute<number>(call, 'alpha') >= 0;
    const features = keepsSign ? b.op('LeakyRelu', [x], alphaOf(call)) : x;
    return b.op('LeakyReluGrad', [dy, features], alphaOf(call));
  },
  Step: (b, call) => slopes(b, input(call, 'x').name, b.scalar(attribute(call, 'alpha'))),
  Prelu: (b, call) => {
    const [x, alpha] = namesOf(inputsOf(call, 'x', 'alpha'));
    return b.op('Mul', [x, slopes(b, x, alpha)]);
  },
  PreluGradX: (b, call) => {
    const [dy, x, alpha] = namesOf(inputsOf(call, 'dy', 'x', 'alpha'));
    return b.op('Mul', [dy, slopes(b, x, alpha)]);
  },
  PreluGradAlpha: (b, call) => {
    const [dy, x] = inputsOf(call, 'dy', 'x');
    const each = b.op('Mul', [dy.name, b.op('Minimum', [x.name, b.scalar(0)])]);
    return sumBroadcast(b, { ...dy, name: each }, output(call).shape);
  },
};
