// Recordings of what networks are made of: convolutions, matrix products, normalization, and the
// changes of resolution. All in TF.js's logical order: pixels NHWC, filters HWIO.

import { backend_util } from '@tensorflow/tfjs-core';
import type { DType } from '../step-graph.js';
import { need, one, type RawAttributes, type Recording, type Shaped } from './recording.js';

/** A convolution's geometry, resolved: no 'same' or 'valid' is left. */
export interface ConvAttributes {
  /** [height, width] */
  readonly strides: readonly [number, number];
  readonly dilations: readonly [number, number];
  /** [top, left, bottom, right] */
  readonly padding: readonly [number, number, number, number];
}

type Shape4 = [number, number, number, number];

function convolution(x: readonly number[], filter: readonly number[], attrs: RawAttributes) {
  if ((attrs['dataFormat'] ?? 'NHWC') !== 'NHWC') throw new Error('only NHWC convolutions');
  const info = backend_util.computeConv2DInfo(
    [...x] as Shape4,
    [...filter] as Shape4,
    attrs['strides'] as number,
    (attrs['dilations'] as number | undefined) ?? 1,
    attrs['pad'] as 'same',
    attrs['dimRoundingMode'] as undefined,
  );
  const { top, left, bottom, right } = info.padInfo;
  const geometry: ConvAttributes = {
    strides: [info.strideHeight, info.strideWidth],
    dilations: [info.dilationHeight, info.dilationWidth],
    padding: [top, left, bottom, right],
  };
  return { outShape: info.outShape, geometry };
}

const matMul: Recording = (inputs, attrs) => {
  const [a, b] = [need(inputs, 'a'), need(inputs, 'b')];
  const [transposeA, transposeB] = [attrs['transposeA'] === true, attrs['transposeB'] === true];
  const rows = a.shape.at(transposeA ? -1 : -2)!;
  const columns = b.shape.at(transposeB ? -2 : -1)!;
  const [left, right] = [a.shape.slice(0, -2), b.shape.slice(0, -2)];
  const batch = backend_util.assertAndGetBroadcastShape(left, right);
  return one([...batch, rows, columns], 'float32', { transposeA, transposeB });
};

const blocks =
  (change: (shape: Shape4, block: number) => number[]): Recording =>
  (inputs, attrs) => {
    const block = attrs['blockSize'] as number;
    const x = need(inputs, 'x');
    return one(change([...x.shape] as Shape4, block), x.dtype, { block });
  };

const channels = (x: Shaped): Shaped => ({ shape: [x.shape.at(-1)!], dtype: 'float32' });

const resizing = (attrs: RawAttributes) => ({
  alignCorners: attrs['alignCorners'] === true,
  halfPixelCenters: attrs['halfPixelCenters'] === true,
});

export const networkRecordings: Readonly<Record<string, Recording>> = {
  Conv2D: (inputs, attrs) => {
    const { shape } = need(inputs, 'x');
    const { outShape, geometry } = convolution(shape, need(inputs, 'filter').shape, attrs);
    return one(outShape, 'float32', { ...geometry });
  },
  Conv2DBackpropInput: (inputs, attrs) => {
    const shape = attrs['inputShape'] as number[];
    const { geometry } = convolution(shape, need(inputs, 'filter').shape, attrs);
    return one(shape, 'float32', { ...geometry });
  },
  Conv2DBackpropFilter: (inputs, attrs) => {
    const shape = attrs['filterShape'] as number[];
    const { geometry } = convolution(need(inputs, 'x').shape, shape, attrs);
    return one(shape, 'float32', { ...geometry });
  },
  BatchMatMul: matMul,
  BatchNormTraining: (inputs, attrs) => {
    const x = need(inputs, 'x');
    const outputs = [{ shape: x.shape, dtype: 'float32' as DType }, channels(x), channels(x)];
    return { outputs, attrs: { epsilon: attrs['epsilon'] } };
  },
  BatchNormTrainingGrad: (inputs, attrs) => {
    const x = need(inputs, 'x');
    const outputs = [{ shape: x.shape, dtype: 'float32' as DType }, channels(x), channels(x)];
    return { outputs, attrs: { epsilon: attrs['epsilon'] } };
  },
  FusedBatchNorm: (inputs, attrs) =>
    one(need(inputs, 'x').shape, 'float32', { epsilon: attrs['varianceEpsilon'] }),
  DepthToSpace: blocks(([n, h, w, c], b) => [n, h * b, w * b, c / (b * b)]),
  SpaceToDepth: blocks(([n, h, w, c], b) => [n, h / b, w / b, c * b * b]),
  ResizeNearestNeighbor: (inputs, attrs) => {
    const [n, , , c] = need(inputs, 'images').shape as Shape4;
    const [height, width] = attrs['size'] as [number, number];
    return one([n, height, width, c], 'float32', resizing(attrs));
  },
  ResizeNearestNeighborGrad: (inputs, attrs) =>
    one(need(inputs, 'images').shape, 'float32', resizing(attrs)),
};
