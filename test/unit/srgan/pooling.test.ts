// Pooling put together of small windows against TF.js's own.

import * as tf from '@tensorflow/tfjs-core';
import assert from 'node:assert/strict';
import { before, test } from 'node:test';
import { maxPoolHalving, maxPoolOverlapping } from '../../../task/ops/pooling.js';
import { randomInputs } from '../../support/engine/graph-parity.js';
import { loadReferenceBackend } from '../../support/engine/reference-backend.js';

before(loadReferenceBackend);

for (const shape of [
  [2, 7, 9, 3],
  [1, 6, 8, 2],
  [1, 3, 4, 1],
] as const)
  test(`pooling of ${shape.join('x')} and its gradient are TF.js's own`, () => {
    const { x: values } = randomInputs([{ name: 'x', shape }], 3);
    const x = tf.tensor4d(values, [...shape]);
    const both = (f: (x: tf.Tensor4D) => tf.Tensor) =>
      [f(x), tf.grad((x) => tf.sum(tf.square(f(x as tf.Tensor4D))))(x)].map((t) => t.arraySync());
    assert.deepEqual(
      both(maxPoolOverlapping),
      both((x) => tf.maxPool(x, 3, 2, 'valid')),
    );
    assert.deepEqual(
      both(maxPoolHalving),
      both((x) => tf.maxPool(x, 2, 2, 'valid')),
    );
  });
