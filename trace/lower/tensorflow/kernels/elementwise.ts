// Value by value: most kernels have an operation of their own, with the same broadcasting.

import { integerAttr, typeAttr } from '../node-def.js';
import { attribute, input, output, plain, type Lowering } from '../lowering.js';

const unaryOperations = [
  ...['Neg', 'Abs', 'Sign', 'Square', 'Sqrt', 'Rsqrt', 'Reciprocal', 'Exp', 'Log', 'Log1p'],
  ...['Sigmoid', 'Tanh', 'Softplus', 'Relu', 'Relu6', 'Floor', 'Identity'],
];

const binaryOperations: Readonly<Record<string, string>> = {
  Sub: 'Sub',
  Multiply: 'Mul',
  RealDiv: 'RealDiv',
  Maximum: 'Maximum',
  Minimum: 'Minimum',
  Pow: 'Pow',
  SquaredDifference: 'SquaredDifference',
  Greater: 'Greater',
  GreaterEqual: 'GreaterEqual',
  Less: 'Less',
  LessEqual: 'LessEqual',
  Equal: 'Equal',
  NotEqual: 'NotEqual',
};

/** A value a channel is a bias: TensorFlow fuses it into the convolution before it. */
const add: Lowering = (b, call) => {
  const [x, y] = [input(call, 'a'), input(call, 'b')];
  const isBias = (bias: typeof x, to: typeof x) =>
    bias.dtype === 'float32' &&
    bias.shape.length === 1 &&
    to.shape.length > 1 &&
    to.shape.at(-1) === bias.shape[0];
  if (isBias(y, x)) return b.op('BiasAdd', [x.name, y.name]);
  if (isBias(x, y)) return b.op('BiasAdd', [y.name, x.name]);
  return b.op('AddV2', [x.name, y.name], {}, x.dtype);
};

export const elementwiseLowerings: Readonly<Record<string, Lowering>> = {
  ...Object.fromEntries(unaryOperations.map((op) => [op, plain(op, 'x')])),
  ...Object.fromEntries(
    Object.entries(binaryOperations).map(([kernel, op]) => [kernel, plain(op, 'a', 'b')]),
  ),
  Add: add,
  AddN: (b, call) => {
    const names = Object.values(call.inputs).map(({ name }) => name);
    return b.op('AddN', names, { N: integerAttr(names.length) }, output(call).dtype);
  },
  LogicalNot: (b, call) => b.op('LogicalNot', [input(call, 'x').name], {}, null),
  LogicalAnd: (b, call) =>
    b.op('LogicalAnd', [input(call, 'a').name, input(call, 'b').name], {}, null),
  LogicalOr: (b, call) =>
    b.op('LogicalOr', [input(call, 'a').name, input(call, 'b').name], {}, null),
  Select: (b, call) => {
    const names = ['condition', 't', 'e'].map((name) => input(call, name).name);
    return b.op('SelectV2', names, {}, output(call).dtype);
  },
  Cast: (b, call) => {
    const x = input(call, 'x');
    const types = { SrcT: typeAttr(x.dtype), DstT: typeAttr(output(call).dtype) };
    return b.op('Cast', [x.name], types, null);
  },
  ClipByValue: (b, call) => {
    const bounds = ['min', 'max'].map((name) => b.scalar(attribute<number>(call, name)));
    return b.op('ClipByValue', [input(call, 'x').name, ...bounds]);
  },
};
