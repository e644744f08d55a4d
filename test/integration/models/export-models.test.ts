import { loadGraphModel } from '@tensorflow/tfjs-converter';
import * as tf from '@tensorflow/tfjs-core';
import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { before, test, type TestContext } from 'node:test';
import { exportOnnx, exportTfjs } from '../../../inference/generator.js';
import { loadNetwork } from '../../../inference/onnx-network.js';
import { createLayout, viewsOf } from '../../../shared/layout.js';
import { createRandomStream } from '../../../shared/random.js';
import type { GeneratorSpec } from '../../../shared/spec/schema.js';
import { loadReferenceBackend } from '../../support/reference-backend.js';
import { createSrganTask } from '../../../task/srgan/task.js';
import type { NamedTensors, Task } from '../../../task/task.js';
import { tinySpec } from '../../unit/srgan/tiny-spec.js';

before(loadReferenceBackend);

interface Trained {
  readonly name: string;
  readonly task: Task;
  readonly parameters: Float32Array;
  readonly statistics: Float32Array;
}

/** Generators with values as training leaves them: no zero, no one, no symmetry. */
const generators: readonly Trained[] = [
  trained('paper', {}),
  trained('demo', { skip: 'bicubic', output: 'linear', normalization: 'none' }),
  trained('keras-gan', { activation: 'relu', order: 'activation-norm', upsampling: 'nearest' }),
];

function trained(name: string, generator: Partial<GeneratorSpec>): Trained {
  const task = createSrganTask(tinySpec({ generator }));
  const stream = createRandomStream(21);
  const shaken = (values: Float32Array) =>
    values.map((value) => value + 0.1 * (stream.uniform() - 0.4));
  return {
    name,
    task,
    parameters: shaken(task.initialParameters('generator', 1)),
    statistics: shaken(task.initialStatistics('generator')),
  };
}

/** Pictures whose sizes are no multiple of anything. */
const sizes = [
  [1, 7, 5],
  [2, 4, 9],
] as const;

function pictures([count, height, width]: readonly [number, number, number]): tf.Tensor4D {
  const stream = createRandomStream(count * 100 + height);
  const values = Float32Array.from({ length: count * height * width * 3 }, stream.uniform);
  return tf.tensor4d(values, [count, height, width, 3]);
}

/** The trainer's own picture: the task's forward pass on TF.js's CPU backend. */
function reference({ task, parameters, statistics }: Trained, input: tf.Tensor4D): Float32Array {
  const { parameters: p, statistics: s } = task.networks[0];
  const inputs: NamedTensors = { input };
  const views = {
    ...viewsOf(createLayout(p), parameters),
    ...viewsOf(createLayout(s), statistics),
  };
  for (const { name, shape } of [...p, ...s]) inputs[name] = tf.tensor(views[name], [...shape]);
  return task.inference.run(inputs).dataSync() as Float32Array;
}

function assertClose(got: Float32Array, expected: Float32Array): void {
  assert.equal(got.length, expected.length);
  const worst = got.reduce((most, value, i) => Math.max(most, Math.abs(value - expected[i])), 0);
  assert.ok(worst < 1e-4, `differs by ${worst}`);
  assert.ok(new Set(expected).size > expected.length / 2, 'the picture is flat');
}

for (const generator of generators) {
  test(`the TF.js model gives the trainer's own picture: ${generator.name}`, async () => {
    const { task, parameters, statistics } = generator;
    const { topology, weights } = exportTfjs(task, parameters, statistics);
    const json = JSON.parse(topology) as tf.io.ModelJSON;
    const model = await loadGraphModel(
      tf.io.fromMemory({
        modelTopology: json.modelTopology,
        weightSpecs: json.weightsManifest[0].weights,
        weightData: Uint8Array.from(weights).buffer,
        signature: json.signature!,
        format: json.format!,
      }),
    );
    assert.deepEqual(
      model.inputs.map(({ name, shape }) => [name, shape]),
      [['lr', [-1, -1, -1, 3]]],
    );
    for (const size of sizes) {
      const input = pictures(size);
      const output = model.predict({ lr: input }) as tf.Tensor;
      assert.deepEqual(output.shape, [size[0], 4 * size[1], 4 * size[2], 3]);
      assertClose(output.dataSync() as Float32Array, reference(generator, input));
    }
  });

  test(`the ONNX model gives the trainer's own picture: ${generator.name}`, async (t) => {
    const { task, parameters, statistics } = generator;
    const path = join(await temporaryFolder(t), 'model.onnx');
    await writeFile(path, exportOnnx(task, parameters, statistics));
    const network = await loadNetwork(path, 1);
    t.after(() => network.close());
    assert.deepEqual(network.metadata, { scale: 4, radius: task.inference.radius });
    for (const [, height, width] of sizes) {
      const input = pictures([1, height, width]);
      const output = await network.run(input.dataSync() as Float32Array, height, width);
      assertClose(output, reference(generator, input));
    }
  });
}

async function temporaryFolder(t: TestContext): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'lockstep-export-'));
  t.after(() => rm(folder, { recursive: true, force: true }));
  return folder;
}
