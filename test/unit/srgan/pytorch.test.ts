import assert from 'node:assert/strict';
import { test } from 'node:test';
import { sizeOf } from '../../../shared/layout.js';
import type { GeneratorSpec } from '../../../shared/spec/schema.js';
import { fromPytorch, pytorchTensors, toPytorch } from '../../../task/srgan/pytorch.js';
import { createSrganTask } from '../../../task/srgan/task.js';
import { kerasGan, tinySpec } from '../../support/engine/srgan-specs.js';

function tensorsOf(generator: Partial<GeneratorSpec> = {}) {
  const spec = tinySpec({ generator });
  return pytorchTensors(spec.generator, createSrganTask(spec).networks[0]);
}

const counting = (size: number) => Float32Array.from({ length: size }, (_, i) => i);

test('names and shapes are those of a plain SRResNet', () => {
  const shapes = tensorsOf().map(({ pytorchName, pytorchShape }) => [pytorchName, pytorchShape]);
  assert.deepEqual(Object.fromEntries(shapes), {
    'conv_input.weight': [4, 3, 9, 9],
    'conv_input.bias': [4],
    'prelu_input.weight': [4],
    'residual.0.conv1.weight': [4, 4, 3, 3],
    'residual.0.bn1.weight': [4],
    'residual.0.bn1.bias': [4],
    'residual.0.bn1.running_mean': [4],
    'residual.0.bn1.running_var': [4],
    'residual.0.prelu.weight': [4],
    'residual.0.conv2.weight': [4, 4, 3, 3],
    'residual.0.bn2.weight': [4],
    'residual.0.bn2.bias': [4],
    'residual.0.bn2.running_mean': [4],
    'residual.0.bn2.running_var': [4],
    'conv_mid.weight': [4, 4, 3, 3],
    'bn_mid.weight': [4],
    'bn_mid.bias': [4],
    'bn_mid.running_mean': [4],
    'bn_mid.running_var': [4],
    'upscale4x.0.conv.weight': [8, 4, 3, 3],
    'upscale4x.0.conv.bias': [8],
    'upscale4x.0.prelu.weight': [2],
    'upscale4x.1.conv.weight': [8, 2, 3, 3],
    'upscale4x.1.conv.bias': [8],
    'upscale4x.1.prelu.weight': [2],
    'conv_output.weight': [3, 2, 9, 9],
    'conv_output.bias': [3],
  });
});

test('the other way round gives the values back, whatever the generator', () => {
  const wirings = [{}, { ...kerasGan.generator }, { normalization: 'none' }] as const;
  for (const generator of wirings)
    for (const tensor of tensorsOf(generator)) {
      const values = counting(sizeOf(tensor.shape));
      const given = toPytorch(tensor, values);
      assert.deepEqual(fromPytorch(tensor, given), values, tensor.name);
      assert.equal(new Set(given).size, values.length, tensor.name);
    }
});

test('a filter is turned from [h, w, in, out] to [out, in, h, w]', () => {
  const tensor = tensorsOf().find(({ pytorchName }) => pytorchName === 'conv_input.weight')!;
  const given = toPytorch(tensor, counting(9 * 9 * 3 * 4));
  const [out, colour, y, x] = [2, 1, 5, 7];
  const ours = ((y * 9 + x) * 3 + colour) * 4 + out;
  assert.equal(given[((out * 3 + colour) * 9 + y) * 9 + x], ours);
});

test('channels before a shuffle go by colour first, as PixelShuffle takes them', () => {
  const of = (name: string, upsampling: GeneratorSpec['upsampling']) =>
    tensorsOf({ upsampling }).find(({ pytorchName }) => pytorchName === name)!;
  const bias = toPytorch(of('upscale4x.0.conv.bias', 'pixel-shuffle'), counting(8));
  assert.deepEqual([...bias], [0, 2, 4, 6, 1, 3, 5, 7]);
  const nearest = toPytorch(of('upscale4x.0.conv.bias', 'nearest'), counting(8));
  assert.deepEqual([...nearest], [0, 1, 2, 3, 4, 5, 6, 7]);
});
