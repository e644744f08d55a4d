// Whole training steps on the TensorFlow engines against the embedded one: losses, statistics and
// every gradient, three updates of Adam, and that nothing native is left over.

import assert from 'node:assert/strict';
import { before, describe, it } from 'node:test';
import { trace } from '../../trace/trace.js';
import { createEngine } from '../../worker/engine/create-engine.js';
import type { Engine } from '../../worker/engine/engine.js';
import { loadTensorflow } from '../../worker/engine/tensorflow/load.js';
import { assertClose, outputArrays, runTraced } from '../support/engine/graph-parity.js';
import { runLockstep } from '../support/lockstep-command.js';
import { watchNativeMemory } from '../support/engine/native-memory.js';
import { engineSpecs, stepOf } from '../support/engine/srgan-specs.js';
import { testSteps, testUpdates } from '../support/engine/step-parity.js';
import { skipWithoutTensorflow } from '../support/servers.js';

const one = { threads: 1 };
const [, small] = engineSpecs[0];

describe('a training step on the TensorFlow engine', { skip: skipWithoutTensorflow }, () => {
  let [onnx, tensorflow]: Engine[] = [];
  before(async () => {
    tensorflow = await createEngine('tensorflow', one);
    onnx = await createEngine('onnx', one);
  });

  testSteps(() => ({ engine: tensorflow, onnx }), { hasEarly: false });
  testUpdates(() => ({ engine: tensorflow, onnx }), { hasEarly: false });

  it('agrees when TF.js runs the step op by op', async () => {
    const step = stepOf(small);
    const eager = await createEngine('tensorflow-eager', one);
    const expected = await runTraced(onnx, step.inputs, step.run, step.values);
    assertClose(await runTraced(eager, step.inputs, step.run, step.values), expected, 1e-4);
  });

  it('keeps no tensor and no memory over 200 steps', async () => {
    const step = stepOf(small);
    const { backend } = loadTensorflow(one);
    const compiled = await tensorflow.compile(step.inputs, step.run);
    const results = outputArrays(trace(step.inputs, step.run));
    const tensors = backend.getNumOfTFTensors();
    const memory = watchNativeMemory(200);
    for (let i = 0; i < 200; i++) {
      await compiled.run(step.values, results);
      memory.look();
    }
    await assert.rejects(compiled.run(step.values, { nothing: new Float32Array(1) }), /'nothing'/);
    await assert.rejects(compiled.run({}, results), /is not fed/);
    assert.equal(backend.getNumOfTFTensors(), tensors);
    memory.assertNothingKept();
    await compiled.close();
  });

  it('stays below 1.5 GiB with the paper preset at batch 8, Adam included', async () => {
    const args = ['--preset', 'paper', '--batch', '8', '--steps', '6', '--engine', 'tensorflow'];
    const { code, lines, stderr } = await runLockstep(['bench', 'step', ...args, '--json'], '.');
    assert.equal(code, 0, stderr);
    const { rss_mib: largest, native_tensors: tensors } = lines[0] as Record<string, number>;
    assert.ok(largest < 1536, `${largest} MiB`);
    assert.equal(tensors, 0);
  });
});
