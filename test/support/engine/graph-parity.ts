// Compares a function run by an engine (traced and lowered) with the same function run eagerly by
// TF.js's own CPU backend.

import * as tf from '@tensorflow/tfjs-core';
import assert from 'node:assert/strict';
import { sizeOf, type TensorSpec } from '../../../shared/layout.js';
import { createRandomStream } from '../../../shared/random.js';
import type { StepGraph } from '../../../trace/step-graph.js';
import { trace, type TensorFunction } from '../../../trace/trace.js';
import type { Engine } from '../../../worker/engine/engine.js';

export type NamedArrays = Record<string, Float32Array>;

/** Values in [-1, 1) for every input, from a seed. */
export function randomInputs(inputs: readonly TensorSpec[], seed: number): NamedArrays {
  const stream = createRandomStream(seed);
  const fill = (size: number) =>
    Float32Array.from({ length: size }, () => 2 * stream.uniform() - 1);
  return Object.fromEntries(inputs.map(({ name, shape }) => [name, fill(sizeOf(shape))]));
}

/** Arrays for all outputs of a graph. */
export function outputArrays(graph: StepGraph): NamedArrays {
  return Object.fromEntries(
    graph.outputs.map(({ name, value }) => [
      name,
      new Float32Array(sizeOf(graph.values[value].shape)).fill(NaN),
    ]),
  );
}

/** The results of `f` by the reference backend, which must be loaded and current. */
export function runEagerly(
  inputs: readonly TensorSpec[],
  f: TensorFunction,
  values: NamedArrays,
): NamedArrays {
  const results: NamedArrays = {};
  tf.tidy(() => {
    const tensors = inputs.map(
      ({ name, shape }) => [name, tf.tensor(values[name].slice(), [...shape], 'float32')] as const,
    );
    for (const [name, tensor] of Object.entries(f(Object.fromEntries(tensors))))
      results[name] = Float32Array.from(tensor.dataSync());
  });
  return results;
}

/** The results of `f`, traced and run by `engine`. */
export async function runTraced(
  engine: Engine,
  inputs: readonly TensorSpec[],
  f: TensorFunction,
  values: NamedArrays,
): Promise<NamedArrays> {
  const results = outputArrays(trace(inputs, f));
  const compiled = await engine.compile(inputs, f);
  await compiled.run(values, results);
  await compiled.close();
  return results;
}

/** Largest difference of a tensor over the largest expected value. */
export function relativeError(actual: Float32Array, expected: Float32Array): number {
  assert.equal(actual.length, expected.length);
  let [difference, scale] = [0, 0];
  for (let i = 0; i < expected.length; i++) {
    if (!Number.isFinite(actual[i])) return Infinity;
    difference = Math.max(difference, Math.abs(actual[i] - expected[i]));
    scale = Math.max(scale, Math.abs(expected[i]));
  }
  return scale === 0 ? difference : difference / scale;
}

/** Fails unless every tensor agrees to `tolerance`; names all that do not. */
export function assertClose(actual: NamedArrays, expected: NamedArrays, tolerance: number): void {
  assert.deepEqual(Object.keys(actual).sort(), Object.keys(expected).sort());
  const wrong = Object.keys(expected)
    .map((name) => ({ name, error: relativeError(actual[name], expected[name]) }))
    .filter(({ error }) => !(error <= tolerance))
    .map(({ name, error }) => `${name}: ${error.toExponential(2)}`);
  assert.deepEqual(wrong, []);
}

/** The same names with other arrays. */
export function mapArrays(
  arrays: NamedArrays,
  f: (values: Float32Array) => Float32Array,
): NamedArrays {
  return Object.fromEntries(Object.entries(arrays).map(([name, values]) => [name, f(values)]));
}

/** The values in shared memory, at an odd place. */
export function sharedCopy(values: Float32Array): Float32Array {
  const shared = new SharedArrayBuffer(4 * (values.length + 3));
  const view = new Float32Array(shared, 12, values.length);
  view.set(values);
  return view;
}
