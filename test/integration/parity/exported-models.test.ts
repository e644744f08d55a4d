// Exported models where their users run them: in Python's ONNX Runtime and in PyTorch, and the
// files of a checkpoint in Python's safetensors.

import assert from 'node:assert/strict';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { exportOnnx, exportPytorch } from '../../../inference/generator.js';
import { loadNetwork } from '../../../inference/onnx-network.js';
import { decodeSafetensors, encodeSafetensors } from '../../../shared/checkpoint/safetensors.js';
import { createRandomStream } from '../../../shared/random.js';
import type { GeneratorSpec } from '../../../shared/spec/schema.js';
import { createSrganTask } from '../../../task/srgan/task.js';
import { runPython, skipWithoutPython } from '../../python/run-python.js';
import { assertClose, type NamedArrays } from '../../support/engine/graph-parity.js';
import { kerasGan, tinySpec } from '../../support/engine/srgan-specs.js';
import { testFolder } from '../../support/tiny-run.js';

const skip = skipWithoutPython('onnx', 'onnxruntime', 'torch', 'safetensors');

/** Wirings that between them have every layer; a batch and sizes that are multiples of nothing. */
const generators: Readonly<Record<string, Partial<GeneratorSpec>>> = {
  paper: { blocks: 2 },
  demo: { skip: 'bicubic', output: 'linear', normalization: 'none', activation: 'relu' },
  'keras-gan': { ...kerasGan.generator, skip: 'bicubic' },
  bare: { blocks: 0, order: 'activation-norm', upsampling: 'nearest' },
};
const sizes = [
  [1, 7, 5],
  [2, 4, 9],
  [1, 3, 17],
  [3, 13, 6],
] as const;

test(
  'ONNX in Python and weights in PyTorch give the picture that they give here',
  { skip },
  async () => {
    const folder = testFolder();
    const expected: Record<string, NamedArrays> = {};
    for (const [name, generator] of Object.entries(generators))
      expected[name] = await writeModels(join(folder, name), generator);
    const folders = Object.keys(generators).map((name) => join(folder, name));
    await runPython('exported_models.py', folders, [], 280_000);
    for (const [name, pictures] of Object.entries(expected)) {
      const body = await readFile(join(folder, name, 'outputs.safetensors'));
      const found = [...decodeSafetensors(body).tensors.values()];
      for (const [runtime, tolerance] of [
        ['onnx', 1e-6],
        ['pytorch', 1e-4],
      ] as const) {
        const those = found.filter((tensor) => tensor.name.startsWith(runtime));
        const pairs = those.map(({ name, data }) => [name.slice(runtime.length + 1), data]);
        assertClose(Object.fromEntries(pairs) as NamedArrays, pictures, tolerance);
      }
      assert.equal(found.length, 2 * sizes.length, name);
    }
  },
);

/** Writes a generator in both formats, and pictures for it; what ONNX Runtime makes of them here. */
async function writeModels(
  folder: string,
  generator: Partial<GeneratorSpec>,
): Promise<NamedArrays> {
  await mkdir(folder);
  const spec = tinySpec({ generator });
  const task = createSrganTask(spec);
  const stream = createRandomStream(21);
  const shaken = (values: Float32Array) =>
    values.map((value) => value + 0.1 * (stream.uniform() - 0.4));
  const parameters = shaken(task.initialParameters('generator', 1));
  const statistics = shaken(task.initialStatistics('generator'));
  const model = join(folder, 'model.onnx');
  await writeFile(model, exportOnnx(task, parameters, statistics));
  const weights = exportPytorch(task, spec.generator, parameters, statistics);
  await writeFile(join(folder, 'model.safetensors'), weights);
  const inputs = sizes.map(([n, h, w], i) => {
    const data = Float32Array.from({ length: n * h * w * 3 }, stream.uniform);
    return { name: `${i}`, shape: [n, h, w, 3], data };
  });
  await writeFile(join(folder, 'inputs.safetensors'), encodeSafetensors(inputs));
  const network = await loadNetwork(model, 1);
  const outputs: NamedArrays = {};
  for (const { name, shape, data } of inputs) {
    const [n, h, w] = shape;
    const pixels = h * w * 3;
    const pictures = [];
    for (let i = 0; i < n; i++)
      pictures.push(...(await network.run(data.slice(i * pixels, (i + 1) * pixels), h, w)));
    outputs[name] = Float32Array.from(pictures);
  }
  await network.close();
  return outputs;
}
