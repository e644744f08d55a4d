// VGG19's weights from a file with torchvision's names, and every way in which it may be wrong.

import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { encodeSafetensors, type NamedTensor } from '../../../shared/checkpoint/safetensors.js';
import { sha256Of } from '../../../shared/sha256.js';
import { readVgg19Weights } from '../../../shared/weights/vgg19-weights.js';

const folder = mkdtempSync(join(tmpdir(), 'lockstep-vgg19-'));
after(() => rmSync(folder, { recursive: true }));
const url = `file://${folder}/vgg19.safetensors`;

const tensor = (name: string, shape: number[]): NamedTensor => {
  const size = shape.reduce((a, b) => a * b, 1);
  return { name, shape, data: Float32Array.from({ length: size }, (_, i) => i) };
};
const filter = tensor('features.0.weight', [64, 3, 3, 3]);
const bias = tensor('features.0.bias', [64]);

function write(...tensors: NamedTensor[]): Buffer {
  const file = encodeSafetensors(tensors);
  writeFileSync(join(folder, 'vgg19.safetensors'), file);
  return file;
}

test('filters come out as TF.js has them, with the sum of the file', async () => {
  const file = write(filter, bias);
  const { sha256, tensors } = await readVgg19Weights(url, ['conv1_1'], {});
  assert.equal(sha256, sha256Of(file));
  assert.deepEqual([...tensors.keys()], ['mean', 'conv1_1/filter', 'conv1_1/bias']);
  const ours = tensors.get('conv1_1/filter')!;
  // Row 2, column 1, colour 2, output 5.
  assert.equal(ours[((2 * 3 + 1) * 3 + 2) * 64 + 5], filter.data[((5 * 3 + 2) * 3 + 2) * 3 + 1]);
  assert.deepEqual(tensors.get('conv1_1/bias'), bias.data);
});

const mistakes: [string, NamedTensor[], string, RegExp][] = [
  ['a layer is missing', [filter, bias], 'conv1_2', /it has no tensor features\.2\.weight/],
  ['another shape', [tensor(filter.name, [64, 3, 3, 1]), bias], 'conv1_1', /not \[64,3,3,3\]/],
  ['batch normalization', [filter, bias, tensor('features.1.weight', [64])], 'conv1_1', /without/],
];
for (const [what, tensors, layer, expected] of mistakes)
  test(`refused: ${what}`, async () => {
    write(...tensors);
    await assert.rejects(readVgg19Weights(url, [layer], {}), expected);
  });

test('refused: no safetensors, and no file', async () => {
  writeFileSync(join(folder, 'vgg19.safetensors'), 'nothing of the kind');
  await assert.rejects(readVgg19Weights(url, ['conv1_1'], {}), /not a safetensors file/);
  const nowhere = url.replace('vgg19', 'vgg16');
  await assert.rejects(readVgg19Weights(nowhere, ['conv1_1'], {}), /it is not there/);
});

test("Keras's first filter takes blue, green, red, and comes out for red, green, blue", async () => {
  const h5 = await import('h5wasm');
  const { FS } = await h5.ready;
  const file = new h5.File('made.h5', 'w');
  const group = file.create_group('block1_conv1').create_group('block1_conv1');
  const values = Float32Array.from({ length: 27 * 64 }, (_, i) => i);
  group.create_dataset({ name: 'kernel:0', data: values, shape: [3, 3, 3, 64], dtype: '<f' });
  group.create_dataset({ name: 'bias:0', data: bias.data, shape: [64], dtype: '<f' });
  file.close();
  writeFileSync(join(folder, 'vgg19.h5'), FS.readFile('made.h5'));
  const keras = url.replace('safetensors', 'h5');
  const { tensors } = await readVgg19Weights(keras, ['conv1_1'], {});
  const ours = tensors.get('conv1_1/filter')!;
  // Tap 4, blue, output 7: Keras's first colour.
  const expected = Math.fround(values[(4 * 3 + 0) * 64 + 7] * 255 * 0.225);
  assert.equal(ours[(4 * 3 + 2) * 64 + 7], expected);
  assert.ok(Math.abs(tensors.get('mean')![0] - 123.68 / 255) < 1e-6);
  assert.deepEqual(tensors.get('conv1_1/bias'), bias.data);
  await assert.rejects(readVgg19Weights(keras, ['conv2_1'], {}), /it has no group block1_conv2/);
});
