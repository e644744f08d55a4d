import { loadGraphModel } from '@tensorflow/tfjs-converter';
import * as tf from '@tensorflow/tfjs-core';
import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { before, test, type TestContext } from 'node:test';
import * as ort from 'onnxruntime-node';
import { exportOnnx, exportTfjs } from '../../../inference/generator.js';
import { loadNetwork } from '../../../inference/onnx-network.js';
import { createLayout, sliceViews } from '../../../shared/layout.js';
import { createRandomStream } from '../../../shared/random.js';
import type { GeneratorSpec } from '../../../shared/spec/schema.js';
import { assertClose, runEagerly, type NamedArrays } from '../../support/engine/graph-parity.js';
import { loadReferenceBackend } from '../../support/engine/reference-backend.js';
import { createSrganTask } from '../../../task/srgan/task.js';
import type { Task } from '../../../task/task.js';
import { kerasGan, tinySpec } from '../../support/engine/srgan-specs.js';

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
  trained('keras-gan', { ...kerasGan.generator, skip: 'bicubic' }),
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
  [1, 3, 17],
  [3, 13, 5],
] as const;

function pictures([count, height, width]: readonly [number, number, number]): tf.Tensor4D {
  const stream = createRandomStream(count * 100 + height);
  const values = Float32Array.from({ length: count * height * width * 3 }, stream.uniform);
  return tf.tensor4d(values, [count, height, width, 3]);
}

/** The trainer's own picture: the task's forward pass on TF.js's CPU backend. */
function reference({ task, parameters, statistics }: Trained, input: tf.Tensor4D): NamedArrays {
  const { parameters: p, statistics: s } = task.networks[0];
  const values = {
    ...sliceViews(createLayout(p), parameters),
    ...sliceViews(createLayout(s), statistics),
    input: input.dataSync() as Float32Array,
  };
  const inputs = [...p, ...s, { name: 'input', shape: input.shape }];
  const { sr } = runEagerly(inputs, (given) => ({ sr: task.inference.run(given) }), values);
  assert.ok(new Set(sr).size > sr.length / 2, 'the picture is flat');
  return { sr };
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
      assertClose({ sr: output.dataSync() as Float32Array }, reference(generator, input), 1e-5);
    }
  });

  test(`the ONNX model gives the trainer's own picture: ${generator.name}`, async (t) => {
    const { task, parameters, statistics } = generator;
    const path = join(await temporaryFolder(t), 'model.onnx');
    await writeFile(path, exportOnnx(task, parameters, statistics));
    const network = await loadNetwork(path, 1);
    t.after(() => network.close());
    assert.deepEqual(network.metadata, { scale: 4, radius: task.inference.radius });
    const [, height, width] = sizes[0];
    const one = pictures(sizes[0]);
    const sr = await network.run(one.dataSync() as Float32Array, height, width);
    assertClose({ sr }, reference(generator, one), 1e-5);
    const session = await ort.InferenceSession.create(path, { intraOpNumThreads: 1 });
    for (const [n, h, w] of sizes) {
      const input = pictures([n, h, w]);
      const lr = new ort.Tensor('float32', input.dataSync() as Float32Array, input.shape);
      const { sr } = await session.run({ lr });
      assert.deepEqual(sr.dims, [n, 4 * h, 4 * w, 3]);
      assertClose({ sr: sr.data as Float32Array }, reference(generator, input), 1e-5);
    }
    await session.release();
  });
}

async function temporaryFolder(t: TestContext): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'lockstep-export-'));
  t.after(() => rm(folder, { recursive: true, force: true }));
  return folder;
}
