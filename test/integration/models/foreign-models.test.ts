// Another program's ONNX file is used only if it is just like a generator of ours.

import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import * as tf from '@tensorflow/tfjs-core';
import { loadNetwork } from '../../../inference/onnx-network.js';
import { OperatorError } from '../../../shared/problems.js';
import { lowerDynamic } from '../../../trace/lower/onnx/lower.js';
import { trace } from '../../../trace/trace.js';
import { tinyGenerator } from '../../support/models/tiny-generator.js';
import { testFolder } from '../../support/tiny-run.js';

const folder = testFolder();

/** A file with one function, and nothing that says whose it is. */
async function write(
  name: string,
  f: (x: tf.Tensor) => tf.Tensor,
  [batch, ...sides]: readonly (number | string)[] = ['n', 'h', 'w', 3],
): Promise<string> {
  const graphs = [5, 6].map((side) => {
    const shape = [batch, ...sides].map((axis) => (typeof axis === 'string' ? side : axis));
    return trace([{ name: 'in', shape }], (inputs) => ({ out: f(inputs['in']) }));
  });
  const symbolicDims = { in: [batch, ...sides], out: [batch, ...sides] };
  const path = join(folder, name);
  await writeFile(path, lowerDynamic(graphs[0], graphs[1], { symbolicDims, embed: {} }));
  return path;
}

const refused = (message: RegExp) => (error: unknown) => {
  assert.ok(error instanceof OperatorError, String(error));
  assert.match(error.message, message);
  return true;
};

test('a model that does as ours do is used', async () => {
  const path = await write('alike.onnx', (x) => tf.sub(tf.mul(x, 2), 1));
  const network = await loadNetwork(path, 1);
  assert.equal(network.metadata.scale, 1);
  const output = await network.run(Float32Array.of(0, 0.5, 1), 1, 1);
  assert.deepEqual([...output], [-1, 0, 1]);
  await network.close();
});

test('a generator of ours whose metadata was lost is used', async () => {
  const bytes = Buffer.from(tinyGenerator(1).model);
  for (let i = bytes.indexOf('lockstep.'); i >= 0; i = bytes.indexOf('lockstep.', i))
    bytes.write('unknown..', i, 'latin1');
  const path = join(folder, 'lost.onnx');
  await writeFile(path, bytes);
  const network = await loadNetwork(path, 1);
  assert.equal(network.metadata.scale, 4);
  await network.close();
});

test('other ports and other ranges are refused by name', async () => {
  const planes = await write('planes.onnx', (x) => tf.mul(x, 2), ['n', 3, 'h', 'w']);
  const ports =
    /planes\.onnx is no generator.*input: given "float32 \[n, 3, h, w\]"; allowed: one/s;
  await assert.rejects(loadNetwork(planes, 1), refused(ports));
  const fixed = await write('fixed.onnx', (x) => tf.mul(x, 2), ['n', 8, 8, 3]);
  await assert.rejects(loadNetwork(fixed, 1), refused(/\[n, 8, 8, 3\].*h and w open/));
  const unsigned = await write('unsigned.onnx', (x) => tf.mul(x, 1));
  const range = /output: given "0\.75, 0\.50, 0\.25"; allowed: about 0\.5, 0, -0\.5 for the colour/;
  await assert.rejects(loadNetwork(unsigned, 1), refused(range));
  const blueFirst = await write('bgr.onnx', (x) => tf.sub(1, tf.mul(x, 2)));
  await assert.rejects(loadNetwork(blueFirst, 1), refused(/given "-0\.50, 0\.00, 0\.50"/));
});
