// Whole training steps on the TensorFlow engines against the embedded one: losses, statistics and
// every gradient, three updates of Adam, and that nothing native is left over.

import assert from 'node:assert/strict';
import { before, describe, it } from 'node:test';
import { loadPreset } from '../../shared/spec/load.js';
import type { RunSpec } from '../../shared/spec/schema.js';
import { trace } from '../../trace/trace.js';
import { createEngine } from '../../worker/engine/create-engine.js';
import type { Engine } from '../../worker/engine/engine.js';
import { loadTensorflow } from '../../worker/engine/tensorflow/load.js';
import {
  assertClose,
  mapArrays,
  outputArrays,
  runTraced,
  sharedCopy,
  type NamedArrays,
} from '../support/engine/graph-parity.js';
import { runLockstep } from '../support/lockstep-command.js';
import { engineSpecs, stepOf } from '../support/engine/srgan-specs.js';
import { takeSteps } from '../support/engine/trained-steps.js';
import { skipWithoutTensorflow } from '../support/servers.js';

const one = { threads: 1 };
const [, small] = engineSpecs[0];

/** The paper's networks as they are, on two crops. */
function paper(): RunSpec {
  const spec = loadPreset('paper');
  return { ...spec, batch: { ...spec.batch, size: 2 } };
}

describe('a training step on the TensorFlow engine', { skip: skipWithoutTensorflow }, () => {
  let [onnx, tensorflow]: Engine[] = [];
  before(async () => {
    tensorflow = await createEngine('tensorflow', one);
    onnx = await createEngine('onnx', one);
  });

  for (const [name, spec, phase] of [
    ...engineSpecs,
    ['the paper, its first phase', paper(), 0] as const,
  ])
    it(`agrees with the embedded engine in every tensor: ${name}`, async () => {
      const step = stepOf(spec, phase);
      const expected = await runTraced(onnx, step.inputs, step.run, step.values);
      const actual = await runTraced(tensorflow, step.inputs, step.run, step.values);
      assertClose(actual, expected, 1e-4);
    });

  // With the discriminator, some of millions of activations lie so near the kink of their function
  // that the last bit of a picture decides their slope: no two engines can agree to 1e-4 there, nor
  // an engine with itself. So they may differ by what that bit makes of it.
  it('agrees as far as the embedded engine with itself: the paper, its last phase', async () => {
    const step = stepOf(paper());
    const expected = await runTraced(onnx, step.inputs, step.run, step.values);
    const actual = await runTraced(tensorflow, step.inputs, step.run, step.values);
    const others = mapArrays(step.values, nudged);
    const nearby = await runTraced(onnx, step.inputs, step.run, others);
    const worst = (results: NamedArrays) =>
      Math.max(...Object.keys(expected).map((name) => distance(results[name], expected[name])));
    assert.ok(worst(actual) < 3 * worst(nearby), `${worst(actual)}, ${worst(nearby)}`);
    assert.ok(worst(actual) < 0.01, `${worst(actual)}`);
    const numbers = Object.keys(expected).filter((name) => /^(loss|score)\//.test(name));
    assert.ok(numbers.length >= 4, numbers.join());
    assertClose(pick(actual, numbers), pick(expected, numbers), 1e-4);
  });

  it('agrees when TF.js runs the step op by op', async () => {
    const step = stepOf(small);
    const eager = await createEngine('tensorflow-eager', one);
    const expected = await runTraced(onnx, step.inputs, step.run, step.values);
    assertClose(await runTraced(eager, step.inputs, step.run, step.values), expected, 1e-4);
  });

  for (const [name, spec] of engineSpecs)
    it(`agrees after three updates of Adam: ${name}`, async () => {
      const { values } = stepOf(spec);
      const expected = await takeSteps(onnx, spec, values, 3);
      const actual = await takeSteps(tensorflow, spec, values, 3);
      for (const what of ['outputs', 'parameters', 'vectors'] as const)
        assertClose(actual[what], expected[what], 1e-4);
    });

  it('gives the same bytes again, and takes and fills views of shared memory', async () => {
    const step = stepOf(small);
    const own = await runTraced(tensorflow, step.inputs, step.run, step.values);
    assert.deepEqual(await runTraced(tensorflow, step.inputs, step.run, step.values), own);
    const compiled = await tensorflow.compile(step.inputs, step.run);
    const feeds = mapArrays(step.values, sharedCopy);
    const fetches = mapArrays(own, ({ length }) => sharedCopy(new Float32Array(length)));
    await compiled.run(feeds, fetches);
    await compiled.close();
    assert.deepEqual(
      mapArrays(fetches, (values) => values.slice()),
      own,
    );
  });

  it('keeps no tensor and no memory over 200 steps', async () => {
    const step = stepOf(small);
    const { backend } = loadTensorflow(one);
    const compiled = await tensorflow.compile(step.inputs, step.run);
    const results = outputArrays(trace(step.inputs, step.run));
    const tensors = backend.getNumOfTFTensors();
    const resident: number[] = [];
    for (let i = 0; i < 200; i++) {
      await compiled.run(step.values, results);
      resident.push(process.memoryUsage.rss());
    }
    await assert.rejects(compiled.run(step.values, { nothing: new Float32Array(1) }), /'nothing'/);
    await assert.rejects(compiled.run({}, results), /is not fed/);
    assert.equal(backend.getNumOfTFTensors(), tensors);
    const [early, late] = [resident[20], resident.at(-1)!];
    assert.ok(late < 1.05 * early, `${early} bytes after 20 steps, ${late} after 200`);
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

/** The values with the last bit changed, up or down in turn. */
function nudged(values: Float32Array): Float32Array {
  return values.map((value, i) => value * (1 + (i % 2 === 0 ? 1.2e-7 : -1.2e-7)));
}

/** The difference's length over the expected vector's. */
function distance(actual: Float32Array, expected: Float32Array): number {
  const length = (values: Float32Array) => Math.sqrt(values.reduce((sum, x) => sum + x * x, 0));
  return length(actual.map((x, i) => x - expected[i])) / length(expected);
}

function pick(arrays: NamedArrays, names: readonly string[]): NamedArrays {
  return Object.fromEntries(names.map((name) => [name, arrays[name]]));
}
