// Feature losses in a spec: which layers there are, and what they need.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  featureLayers,
  featureNetworkNames,
  findLayer,
  smallestCrop,
} from '../../../shared/spec/feature-layers.js';
import { loadPreset } from '../../../shared/spec/load.js';
import type { RunSpec } from '../../../shared/spec/schema.js';
import { validateSpec } from '../../../shared/spec/validate.js';
import { createFeatureLosses } from '../../../task/features/feature-loss.js';
import { faceNetwork } from '../../../task/features/face.js';
import { vgg19Network } from '../../../task/features/vgg19.js';
import { trace } from '../../../trace/trace.js';

/** The demo preset with these feature losses in its first phase, and a crop. */
function specWith(features: readonly object[], crop = 64, rest: object = {}): object {
  const demo = loadPreset('demo');
  const [first, ...others] = demo.phases;
  const phases = [{ ...first, loss: { ...first.loss, features } }, ...others];
  return { ...demo, dataset: { ...demo.dataset, crop, resize: 0 }, phases, ...rest };
}

function problemsOf(document: object): string[] {
  const result = validateSpec(document);
  if (result.kind === 'valid') return [];
  return result.problems.map(({ key, allowed, hint = '' }) => `${key}: ${allowed} ${hint}`.trim());
}

const face = { network: 'face', layer: 'conv32_1', weight: 1 };
const vgg19 = { network: 'vgg19', layer: 'vgg54', weight: 1 };
const url = 'file://weights/vgg19.safetensors';

test('a feature loss is before the activation, and squared, unless it says otherwise', () => {
  const result = validateSpec(specWith([face]));
  assert.ok(result.kind === 'valid');
  assert.deepEqual(result.spec.phases[0].loss.features, [
    { ...face, activation: 'before', norm: 'mse' },
  ]);
  // Without one the spec has no such key, and its sum stays what it was.
  assert.equal('features' in loadPreset('demo').phases[0].loss, false);
});

test('what is wrong with a feature loss is said at its key', () => {
  const [at] = ['phases.0.loss.features'];
  const all = featureLayers.face.join(', ');
  assert.deepEqual(problemsOf(specWith([{ ...face, layer: 'conv32_4' }])), [
    `${at}.0.layer: ${all} did you mean conv32_1?`,
  ]);
  assert.deepEqual(problemsOf(specWith([face, { ...face, norm: 'mae' }])), [
    `${at}.1.layer: a layer that no other feature loss of the phase has`,
  ]);
  assert.deepEqual(problemsOf(specWith([{ ...face, layer: 'conv256_1' }], 48)), [
    `${at}.0.layer: an earlier layer, or a dataset.crop of at least 64`,
  ]);
  const place = 's3:// or file:// and the place of a file NAME.safetensors or NAME.h5';
  assert.deepEqual(problemsOf(specWith([vgg19])), [`featureNetworks.vgg19.url: ${place}`]);
  assert.deepEqual(problemsOf(specWith([vgg19], 64, { featureNetworks: { vgg19: { url } } })), []);
  const pickle = { featureNetworks: { vgg19: { url: 'file://weights/vgg19.pth' } } };
  assert.match(problemsOf(specWith([vgg19], 64, pickle))[0], /convert it: python3/);
  assert.match(problemsOf(specWith([{ ...face, weight: 0 }]))[0], /features\.0\.weight/);
});

test("the paper's names are vgg19's layers", () => {
  assert.equal(findLayer('vgg19', 'vgg22'), 'conv2_2');
  assert.equal(findLayer('vgg19', 'vgg54'), 'conv5_4');
  assert.equal(findLayer('vgg19', 'toString'), undefined);
});

test('the networks have the layers that a spec may name', () => {
  for (const network of [faceNetwork, vgg19Network]) {
    const layers = network.stages.map(({ layer }) => layer);
    assert.deepEqual(layers, featureLayers[network.name as 'face']);
  }
});

/** Whether every kernel of the loss has something to compute at a crop. */
function hasPixels(network: 'face' | 'vgg19', layer: string, crop: number): boolean {
  const losses = createFeatureLosses([
    { network, layer, activation: 'before', norm: 'mse', weight: 1 },
  ]);
  const shape = [1, crop, crop, 3];
  const inputs = [{ name: 'a', shape }, { name: 'b', shape }, ...losses.weights];
  try {
    const { values } = trace(inputs, (t) => {
      const [{ value }] = losses.against(t['a'] as never, t)(t['b'] as never);
      return { value };
    });
    return values.every((value) => value.shape.every((extent) => extent > 0));
  } catch {
    return false;
  }
}

test('the smallest crop of a layer is the smallest that leaves it a pixel', () => {
  for (const network of featureNetworkNames)
    for (const layer of featureLayers[network]) {
      const least = smallestCrop(network, layer);
      assert.ok(hasPixels(network, layer, least), `${network} ${layer} at ${least}`);
      if (least > 16) assert.ok(!hasPixels(network, layer, least - 16), `${layer} below ${least}`);
    }
});

test('a step is given the weights up to its deepest layer, and no more', () => {
  const losses = createFeatureLosses([
    { network: 'vgg19', layer: 'vgg22', activation: 'after', norm: 'mse', weight: 1 },
  ]);
  assert.deepEqual(
    losses.weights.map(({ name }) => name),
    [
      'vgg19/mean',
      ...['1_1', '1_2', '2_1', '2_2'].flatMap((n) => [
        `vgg19/conv${n}/filter`,
        `vgg19/conv${n}/bias`,
      ]),
    ],
  );
  assert.deepEqual(losses.metrics, ['loss/features/vgg19-vgg22']);
  const none: RunSpec['phases'][number]['loss']['features'] = undefined;
  assert.deepEqual(createFeatureLosses(none).weights, []);
});
