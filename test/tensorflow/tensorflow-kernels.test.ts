// Every kernel that the TensorFlow engine can lower, at odd shapes, strides and paddings, against
// TF.js's own CPU backend, and a kernel that it can't.

import * as tf from '@tensorflow/tfjs-core';
import assert from 'node:assert/strict';
import { before, describe, it } from 'node:test';
import { loadReferenceBackend } from '../support/engine/reference-backend.js';
import type { NamedTensors } from '../../task/task.js';
import { tensorflowLowerings } from '../../trace/lower/tensorflow/lower.js';
import { createEngine } from '../../worker/engine/create-engine.js';
import type { Engine } from '../../worker/engine/engine.js';
import { testKernels } from '../support/engine/kernel-cases.js';
import { skipWithoutTensorflow } from '../support/servers.js';

const one = { threads: 1 };

describe('kernels on the TensorFlow engine', { skip: skipWithoutTensorflow }, () => {
  let engine: Engine;
  before(async () => {
    engine = await createEngine('tensorflow', one);
    // After TensorFlow's, which makes itself the current backend.
    await loadReferenceBackend();
  });

  testKernels(() => engine, tensorflowLowerings);

  it('names an op without a lowering and the engine that needs none, which runs it', async () => {
    const inputs = [{ name: 'x', shape: [4] }];
    const f = ({ x }: NamedTensors) => ({ y: tf.cumsum(x) });
    await assert.rejects(
      async () => engine.compile(inputs, f),
      /engine\.name: given "tensorflow"; allowed: tensorflow-eager.*Cumsum/,
    );
    const eager = await (await createEngine('tensorflow-eager', one)).compile(inputs, f);
    const y = new Float32Array(4);
    await eager.run({ x: Float32Array.of(1, 2, 3, 4) }, { y });
    assert.deepEqual([...y], [1, 3, 6, 10]);
  });
});
