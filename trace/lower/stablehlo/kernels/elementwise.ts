// Value by value, and activations with their gradients. XLA fuses these with what stands around
// them, so each is written in the plainest way. A value that is not a number stays one: a run that
// has diverged must show it.

import type { DType } from '../../../step-graph.js';
import { attribute, input, inputsOf, output } from '../../lowering.js';
import { type StablehloLowering, type StablehloLowerings } from '../builder.js';

/** Kernels of one input, and the operations for them. */
const unary: Readonly<Record<string, string>> = {
  ...{ Neg: 'negate', Abs: 'abs', Sign: 'sign', Sqrt: 'sqrt', Rsqrt: 'rsqrt', Floor: 'floor' },
  ...{ Exp: 'exponential', Log: 'log', Log1p: 'log_plus_one' },
  ...{ Sigmoid: 'logistic', Tanh: 'tanh', LogicalNot: 'not' },
};

/** Kernels of two inputs. */
const binary: Readonly<Record<string, string>> = {
  ...{ Add: 'add', Sub: 'subtract', Multiply: 'multiply', RealDiv: 'divide', Pow: 'power' },
  ...{ Maximum: 'maximum', Minimum: 'minimum', LogicalAnd: 'and', LogicalOr: 'or' },
};

const comparisons: Readonly<Record<string, string>> = {
  ...{ Greater: 'GT', GreaterEqual: 'GE', Less: 'LT', LessEqual: 'LE' },
  ...{ Equal: 'EQ', NotEqual: 'NE' },
};

const each = (
  names: Readonly<Record<string, string>>,
  lowering: (name: string) => StablehloLowering,
): StablehloLowerings =>
  Object.fromEntries(Object.entries(names).map(([kernel, name]) => [kernel, lowering(name)]));

export const elementwiseToStablehlo: StablehloLowerings = {
  ...each(unary, (op) => (b, call) => b.each(op, [input(call, 'x')])),
  ...each(binary, (op) => (b, call) => b.each(op, inputsOf(call, 'a', 'b'))),
  ...each(comparisons, (to) => (b, call) => b.compare(to, inputsOf(call, 'a', 'b'))),
  Identity: (_b, call) => input(call, 'x'),
  AddN: (b, call) => Object.values(call.inputs).reduce((x, y) => b.each('add', [x, y])),
  Select: (b, call) => {
    const operands = inputsOf(call, 'condition', 't', 'e');
    return b.each('select', operands, output(call).dtype);
  },
  Cast: (b, call) => b.convert(input(call, 'x'), output(call).dtype),
  Square: (b, call) => b.each('multiply', inputsOf(call, 'x', 'x')),
  SquaredDifference: (b, call) => {
    const difference = b.each('subtract', inputsOf(call, 'a', 'b'));
    return b.each('multiply', [difference, difference]);
  },
  Reciprocal: (b, call) => b.each('divide', [b.fill(1), input(call, 'x')]),
  // log(1 + exp(x)) without overflow.
  Softplus: (b, call) => {
    const x = input(call, 'x');
    const small = b.each('negate', [b.each('abs', [x])]);
    const rest = b.each('log_plus_one', [b.each('exponential', [small])]);
    return b.each('add', [b.each('maximum', [x, b.fill(0)]), rest]);
  },
  ClipByValue: (b, call) => {
    const [min, max] = ['min', 'max'].map((name) => b.fill(attribute(call, name)));
    return b.each('minimum', [b.each('maximum', [input(call, 'x'), min]), max]);
  },
  Relu: (b, call) => {
    const x = input(call, 'x');
    return b.each('maximum', [x, b.fill(0, [], x.dtype as DType)]);
  },
  Relu6: (b, call) => {
    const positive = b.each('maximum', [input(call, 'x'), b.fill(0)]);
    return b.each('minimum', [positive, b.fill(6)]);
  },
  ReluGrad: (b, call) => {
    const [dy, x] = inputsOf(call, 'dy', 'x');
    return b.wherePositive(x, dy, b.fill(0));
  },
  Step: (b, call) => b.wherePositive(input(call, 'x'), b.fill(1), b.fill(attribute(call, 'alpha'))),
  LeakyRelu: (b, call) => {
    const x = input(call, 'x');
    const below = b.each('multiply', [x, b.fill(attribute(call, 'alpha'))]);
    return b.wherePositive(x, x, below);
  },
  LeakyReluGrad: (b, call) => {
    const [dy, x] = inputsOf(call, 'dy', 'x');
    const below = b.each('multiply', [dy, b.fill(attribute(call, 'alpha'))]);
    return b.wherePositive(x, dy, below);
  },
  Prelu: (b, call) => {
    const [x, alpha] = inputsOf(call, 'x', 'alpha');
    return b.wherePositive(x, x, b.each('multiply', [x, alpha]));
  },
  PreluGradX: (b, call) => {
    const [dy, x, alpha] = inputsOf(call, 'dy', 'x', 'alpha');
    return b.wherePositive(x, dy, b.each('multiply', [dy, alpha]));
  },
  PreluGradAlpha: (b, call) => {
    const [dy, x] = inputsOf(call, 'dy', 'x');
    const own = b.wherePositive(x, b.fill(0), b.each('multiply', [dy, x]));
    return b.sumBroadcast(own, output(call).shape);
  },
};
