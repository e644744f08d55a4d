// What the kernels that Lockstep adds to TF.js mean, in plain TF.js ops: the reference that every
// engine is compared with, and the way they run on a backend without an own version.

import * as tf from '@tensorflow/tfjs-core';

type Inputs = Record<string, tf.Tensor>;
type Reference = (inputs: Inputs, attributes: Record<string, number>) => tf.Tensor | tf.Tensor[];

/** Lets the added kernels run on a TF.js backend; once a backend. */
export function registerReferences(backendName: string): void {
  for (const [kernelName, reference] of Object.entries(references)) {
    if (tf.getKernel(kernelName, backendName)) continue;
    tf.registerKernel({
      kernelName,
      backendName,
      kernelFunc: ({ inputs, attrs }) =>
        tf.tidy(() => reference(inputs as Inputs, (attrs ?? {}) as Record<string, number>)),
    });
  }
}

const references: Record<string, Reference> = {
  SpaceToDepth: ({ x }, { blockSize }) => spaceToDepth(x as tf.Tensor4D, blockSize),
  ReluGrad: ({ dy, x }) => tf.where(tf.greater(x, 0), dy, tf.zerosLike(dy)),
  LeakyReluGrad: ({ dy, x }, { alpha }) => tf.where(tf.greater(x, 0), dy, tf.mul(dy, alpha)),
  PreluGradX: ({ dy, x, alpha }) => tf.where(tf.greater(x, 0), dy, tf.mul(dy, alpha)),
  PreluGradAlpha: ({ dy, x, alpha }) => {
    const each = tf.where(tf.greater(x, 0), tf.zerosLike(dy), tf.mul(dy, x));
    return sumTo(each, alpha.shape);
  },
  BatchNormTraining: ({ x, scale, offset }, { epsilon }) => {
    const mean = tf.mean(x, [0, 1, 2]);
    const variance = tf.mean(tf.squaredDifference(x, mean), [0, 1, 2]);
    const normal = tf.mul(tf.sub(x, mean), tf.rsqrt(tf.add(variance, epsilon)));
    return [tf.add(tf.mul(normal, scale), offset), mean, variance];
  },
  BatchNormTrainingGrad: ({ dy, x, scale, mean, variance }, { epsilon }) => {
    const inverse = tf.rsqrt(tf.add(variance, epsilon));
    const normal = tf.mul(tf.sub(x, mean), inverse);
    const dscale = tf.sum(tf.mul(dy, normal), [0, 1, 2]);
    const doffset = tf.sum(dy, [0, 1, 2]);
    const count = x.size / x.shape[3]!;
    const through = tf.div(tf.add(doffset, tf.mul(normal, dscale)), count);
    return [tf.mul(tf.mul(scale, inverse), tf.sub(dy, through)), dscale, doffset];
  },
};

/** The inverse of depthToSpace, NHWC. */
function spaceToDepth(x: tf.Tensor4D, block: number): tf.Tensor {
  const [n, h, w, c] = x.shape;
  const split = tf.reshape(x, [n, h / block, block, w / block, block, c]);
  const shape: [number, number, number, number] = [n, h / block, w / block, block * block * c];
  return tf.reshape(tf.transpose(split, [0, 1, 3, 2, 4, 5]), shape);
}

/** Sums over the axes along which `shape` was broadcast to the shape of `x`. */
function sumTo(x: tf.Tensor, shape: readonly number[]): tf.Tensor {
  const missing = x.shape.length - shape.length;
  const axes = x.shape.flatMap((extent, axis) => {
    const own = axis < missing ? 1 : shape[axis - missing];
    return own === 1 && (extent !== 1 || axis < missing) ? [axis] : [];
  });
  return tf.reshape(tf.sum(x, axes), [...shape]);
}
