// Recordings of kernels that work value by value: unary, binary with broadcasting, choice, and
// the gradients of activations.

import { backend_util } from '@tensorflow/tfjs-core';
import type { DType } from '../step-graph.js';
import { need, one, type Recording } from './recording.js';

const unary: Recording = (inputs) => {
  const x = need(inputs, 'x');
  return one(x.shape, x.dtype);
};

const binary =
  (dtype?: DType): Recording =>
  (inputs) => {
    const [a, b] = [need(inputs, 'a'), need(inputs, 'b')];
    const shape = backend_util.assertAndGetBroadcastShape([...a.shape], [...b.shape]);
    return one(shape, dtype ?? a.dtype);
  };

const likeDy: Recording = (inputs, attrs) => one(need(inputs, 'dy').shape, 'float32', attrs);

const withAlpha: Recording = (inputs, attrs) =>
  one(need(inputs, 'x').shape, 'float32', { alpha: attrs['alpha'] ?? 0 });

const unaryKernels = [
  ...['Neg', 'Abs', 'Sign', 'Square', 'Sqrt', 'Rsqrt', 'Reciprocal', 'Exp', 'Log', 'Log1p'],
  ...['Sigmoid', 'Tanh', 'Softplus', 'Relu', 'Relu6', 'Floor', 'LogicalNot', 'Identity'],
];
const arithmeticKernels = [
  ...['Add', 'Sub', 'Multiply', 'RealDiv', 'Maximum', 'Minimum', 'Pow', 'SquaredDifference'],
];
const comparisonKernels = [
  ...['Greater', 'GreaterEqual', 'Less', 'LessEqual', 'Equal', 'NotEqual'],
  ...['LogicalAnd', 'LogicalOr'],
];

export const elementwiseRecordings: Readonly<Record<string, Recording>> = {
  ...Object.fromEntries(unaryKernels.map((kernel) => [kernel, unary])),
  ...Object.fromEntries(arithmeticKernels.map((kernel) => [kernel, binary()])),
  ...Object.fromEntries(comparisonKernels.map((kernel) => [kernel, binary('bool')])),
  Cast: (inputs, attrs) => one(need(inputs, 'x').shape, attrs['dtype'] as DType),
  Step: withAlpha,
  LeakyRelu: withAlpha,
  ClipByValue: (inputs, attrs) =>
    one(need(inputs, 'x').shape, 'float32', {
      min: attrs['clipValueMin'],
      max: attrs['clipValueMax'],
    }),
  Prelu: unary,
  Select: (inputs) => one(need(inputs, 't').shape, need(inputs, 't').dtype),
  ReluGrad: likeDy,
  LeakyReluGrad: (inputs, attrs) =>
    one(need(inputs, 'dy').shape, 'float32', { alpha: attrs['alpha'] }),
  PreluGradX: likeDy,
  PreluGradAlpha: (inputs) => one(need(inputs, 'alpha').shape, 'float32'),
  AddN: (inputs) => one(need(inputs, '0').shape, need(inputs, '0').dtype),
};
