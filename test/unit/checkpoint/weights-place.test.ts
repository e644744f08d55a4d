import assert from 'node:assert/strict';
import { resolve } from 'node:path';
import { test } from 'node:test';
import {
  parseWeightsPlace,
  weightsPlaceProblem,
  weightsUrl,
} from '../../../shared/checkpoint/weights-place.js';

const here = resolve('.');

test('a run, a checkpoint and a file are told apart', () => {
  const cases = {
    'file:///runs/a': { kind: 'run', root: 'file:///runs/a' },
    's3://bucket/runs/a/': { kind: 'run', root: 's3://bucket/runs/a' },
    's3://a.safetensors': { kind: 'run', root: 's3://a.safetensors' },
    's3://bucket/a/checkpoints/step-00000400': {
      ...{ kind: 'checkpoint', root: 's3://bucket/a', step: 400 },
    },
    'file://a/checkpoints/step-00000400/': {
      ...{ kind: 'checkpoint', root: `file://${here}/a`, step: 400 },
    },
    'file://a/checkpoints/step-400': {
      ...{ kind: 'run', root: `file://${here}/a/checkpoints/step-400` },
    },
    's3://bucket/x.safetensors': { kind: 'file', root: 's3://bucket', key: 'x.safetensors' },
    'file:///w/x.safetensors': { kind: 'file', root: 'file:///w', key: 'x.safetensors' },
    'file://x.safetensors': { kind: 'file', root: `file://${here}`, key: 'x.safetensors' },
  };
  for (const [url, place] of Object.entries(cases)) {
    assert.deepEqual(parseWeightsPlace(url, 'k'), place, url);
    assert.equal(weightsPlaceProblem('k', url), undefined, url);
    const again = weightsUrl(parseWeightsPlace(url, 'k'));
    assert.deepEqual(parseWeightsPlace(again, 'k'), place, url);
  }
});

test('pickles are refused with how to convert them, other files by name', () => {
  for (const file of ['x.pth', 'x.PT', 'x.ckpt', 'pytorch_model.bin'])
    assert.match(
      weightsPlaceProblem('k', `file:///w/${file}`)?.hint ?? '',
      /^convert it: python3 -c .*save_file/,
    );
  assert.match(weightsPlaceProblem('k', 's3://b/x.onnx')?.allowed ?? '', /\.safetensors/);
  assert.match(weightsPlaceProblem('k', 's3:///x.safetensors')?.hint ?? '', /bucket/);
});
