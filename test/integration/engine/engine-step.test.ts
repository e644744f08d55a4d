// A whole training step, traced and run by the engine, against TF.js's own CPU backend.

import * as tf from '@tensorflow/tfjs-core';
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { before, describe, it } from 'node:test';
import type { TensorSpec } from '../../../shared/layout.js';
import { loadReferenceBackend } from '../../support/engine/reference-backend.js';
import type { NamedTensors } from '../../../task/task.js';
import { trace } from '../../../trace/trace.js';
import { createOnnxEngine } from '../../../worker/engine/onnx-engine.js';
import {
  assertClose,
  mapArrays,
  outputArrays,
  randomInputs,
  runEagerly,
  runTraced,
  sharedCopy,
  type NamedArrays,
} from '../../support/engine/graph-parity.js';
import { engineSpecs, stepOf, tinySpec } from '../../support/engine/srgan-specs.js';

const [, spec] = engineSpecs[0];

describe('a training step on the onnx engine', () => {
  before(loadReferenceBackend);

  for (const [name, spec] of engineSpecs)
    it(`agrees with TF.js's CPU backend in every tensor: ${name}`, async () => {
      const step = stepOf(spec);
      const engine = createOnnxEngine({ threads: 1 });
      const expected = runEagerly(step.inputs, step.run, step.values);
      const actual = await runTraced(engine, step.inputs, step.run, step.values);
      assertClose(actual, expected, 1e-4);
    });

  it("agrees with TF.js's CPU backend in every tensor: relativistic, with smooth labels", async () => {
    const loss = { objective: 'relativistic', realLabel: 0.9, adversarial: 1 } as const;
    const { inputs, run, values } = stepOf(
      tinySpec({ discriminator: { normalization: 'none' }, loss }),
    );
    // Differences of verdicts don't depend on the last bias: its gradient is what rounding leaves.
    const withoutBias = (tensors: NamedTensors): NamedTensors => {
      const { 'discriminator/verdict/bias': _rounding, ...others } = run(tensors);
      return others;
    };
    const expected = runEagerly(inputs, withoutBias, values);
    const actual = await runTraced(createOnnxEngine({ threads: 1 }), inputs, withoutBias, values);
    assertClose(actual, expected, 1e-4);
  });

  it('gives the same bytes in two sessions and with one and two threads', async () => {
    const step = stepOf(spec);
    const sums = [];
    for (const threads of [1, 1, 2]) {
      const engine = createOnnxEngine({ threads });
      sums.push(digest(await runTraced(engine, step.inputs, step.run, step.values)));
    }
    assert.equal(new Set(sums).size, 1);
  });

  // Products that the runtime would split along their columns, large enough to be split at all.
  for (const [name, inputs, run] of [
    [
      'a dense layer on few rows',
      [matrix('x', 16, 2048), matrix('y', 2048, 64)],
      ({ x, y }: NamedTensors) => differentiated(tf.matMul, x, y),
    ],
    [
      'sums of few channels',
      [matrix('x', 20, 96, 96, 3), matrix('y', 3)],
      ({ x, y }: NamedTensors) => differentiated(tf.add, x, y),
    ],
    [
      'a filter of few rows',
      [matrix('x', 4, 24, 24, 3), matrix('y', 3, 3, 3, 64)],
      ({ x, y }: NamedTensors) =>
        differentiated((x, y) => tf.conv2d(x as tf.Tensor4D, y as tf.Tensor4D, 1, 'same'), x, y),
    ],
  ] as const)
    it(`gives the same bytes with any number of threads: ${name}`, async () => {
      const values = randomInputs(inputs, 13);
      const sums = [];
      for (const threads of [1, 2, 3, 8])
        sums.push(digest(await runTraced(createOnnxEngine({ threads }), inputs, run, values)));
      assert.equal(new Set(sums).size, 1);
    });

  it('takes and fills views of shared memory', async () => {
    const step = stepOf(spec);
    const graph = trace(step.inputs, step.run);
    const compiled = await createOnnxEngine({ threads: 1 }).compile(step.inputs, step.run);
    const own = outputArrays(graph);
    const [shared, feeds] = [mapArrays(own, sharedCopy), mapArrays(step.values, sharedCopy)];
    await compiled.run(step.values, own);
    await compiled.run(feeds, shared);
    assert.equal(digest(shared), digest(own));
    // The same arrays with other values: nothing may be remembered but where they lie.
    feeds['lr'].fill(0.5);
    step.values['lr'].fill(0.5);
    await compiled.run(step.values, own);
    await compiled.run(feeds, shared);
    assert.equal(digest(shared), digest(own));
    await compiled.close();
  });

  it('computes only what is fetched', async () => {
    const step = stepOf(spec);
    const graph = trace(step.inputs, step.run);
    const compiled = await createOnnxEngine({ threads: 1 }).compile(step.inputs, step.run);
    const all = outputArrays(graph);
    await compiled.run(step.values, all);
    const mse = new Float32Array(1);
    await compiled.run(step.values, { mse });
    assert.deepEqual(mse, all['mse']);
    await assert.rejects(compiled.run(step.values, { nothing: mse }), /no port named 'nothing'/);
    await compiled.close();
  });
});

function matrix(name: string, ...shape: number[]): TensorSpec {
  return { name, shape };
}

/** The value of f and its gradients. */
function differentiated(
  f: (x: tf.Tensor, y: tf.Tensor) => tf.Tensor,
  x: tf.Tensor,
  y: tf.Tensor,
): NamedTensors {
  const gradients = tf.grads((x: tf.Tensor, y: tf.Tensor) => tf.sum(tf.square(f(x, y))))([x, y]);
  return { value: f(x, y), dx: gradients[0], dy: gradients[1] };
}

function digest(arrays: NamedArrays): string {
  const hash = createHash('sha256');
  for (const name of Object.keys(arrays).sort()) {
    const { buffer, byteOffset, byteLength } = arrays[name];
    hash.update(name).update(Buffer.from(buffer, byteOffset, byteLength));
  }
  return hash.digest('hex');
}
