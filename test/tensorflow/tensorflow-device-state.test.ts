// The training state in variables of TensorFlow's session, where it lies on a GPU, tried on the CPU:
// it is what the state in the process's memory would be.

import { add, matMul, mul, ones, sum } from '@tensorflow/tfjs-core';
import assert from 'node:assert/strict';
import { before, describe, it } from 'node:test';
import {
  floatsIn,
  floatsOfState,
  vectorsInOrder,
  type StateVectors,
} from '../../shared/checkpoint/state.js';
import { createLayout } from '../../shared/layout.js';
import { createRandomStream } from '../../shared/random.js';
import { createEngine } from '../../worker/engine/create-engine.js';
import {
  ownSlices,
  type CompiledStep,
  type Engine,
  type EngineState,
  type StepProgram,
} from '../../worker/engine/engine.js';
import { createHostState } from '../../worker/engine/host-state.js';
import { createDeviceState } from '../../worker/engine/tensorflow/device-state.js';
import { loadTensorflow } from '../../worker/engine/tensorflow/load.js';
import { assertClose } from '../support/engine/graph-parity.js';
import { engineSpecs, factoredSpec, stepOf } from '../support/engine/srgan-specs.js';
import { watchNativeMemory } from '../support/engine/native-memory.js';
import { takeSteps } from '../support/engine/trained-steps.js';
import {
  resultOf,
  scalarsOfUpdate,
  updatedNetworks,
  updateProgram,
  updateShape,
} from '../support/engine/update-case.js';
import { skipWithoutTensorflow } from '../support/servers.js';

const one = { threads: 1 };

/** Values in [-1, 1) from a seed; no negative second moments. */
function valuesOf(seed: number): StateVectors {
  const { vectors } = createHostState(updatedNetworks);
  const stream = createRandomStream(seed);
  for (const network of Object.values(vectors))
    for (const [name, vector] of Object.entries(network) as [string, Float32Array][])
      for (let i = 0; i < vector.length; i++)
        vector[i] = name === 'secondMoment' ? stream.uniform() : 2 * stream.uniform() - 1;
  return vectors;
}

/** A step whose outputs are `weight` * x + the sum of the generator's biases. */
function stepTimes(weight: number): StepProgram {
  const x = { name: 'x', shape: [100] };
  const { exact, gradients, factors } = updateShape;
  return {
    batch: [x],
    reads: ['generator'],
    frozen: [{ name: `weight/${weight}`, shape: [1], values: Float32Array.of(weight) }],
    run: (tensors) => {
      const scaled = mul(tensors['x'], tensors[`weight/${weight}`]);
      const product = matMul(ones([3, 13]), ones([3, 61]), true);
      return { 'metric/all': add(scaled, sum(tensors['generator/bias'])), weights: product };
    },
    layout: createLayout([
      ...ownSlices.map((name) => ({ name, shape: [] })),
      { ...x, name: 'metric/all' },
      { name: 'weights/left', shape: [3, 13] },
      { name: 'weights/right', shape: [3, 61] },
    ]),
    ...{ shape: { exact, gradients, factors }, leaves: 2, update: updateProgram },
  };
}

const x = Float32Array.from({ length: 100 }, (_, i) => ((i * 7) % 11) / 10 - 0.5);
/** Of both micro-shards, and what their products come to. */
const factor = (i: number): number => ((i * 5) % 7) / 8 - 0.25;
const blocks = [0, 1].map((leaf) => {
  return Float32Array.from({ length: updateShape.factors }, (_, i) => factor(1000 * leaf + i));
});
const result = resultOf((i) => ((i * 7) % 11) / 10 - 0.5);
for (let i = 0; i < 13 * 61; i++) {
  const [left, right] = [Math.floor(i / 61), i % 61];
  const terms = blocks.flatMap((block) =>
    [0, 1, 2].map((row) => block[row * 13 + left] * block[39 + row * 61 + right]),
  );
  result.weights[i] = terms.reduce((sum, term) => sum + term, 0) / 2;
}
const vectorFloats = 2 + 100 + updateShape.factors;
const biasSum = (values: StateVectors) =>
  values['generator'].parameters.slice(-7).reduce((sum, value) => sum + value, 0);
const flat = (values: StateVectors) =>
  vectorsInOrder(updatedNetworks, { networks: values }).flatMap((vector) => [...vector]);

describe('a state in the variables of TensorFlow', { skip: skipWithoutTensorflow }, () => {
  let engine: Engine;
  let create: () => Promise<EngineState>;
  before(async () => {
    engine = await createEngine('tensorflow', one);
    create = () => createDeviceState(loadTensorflow(one).binding, updatedNetworks);
  });

  for (const [name, spec] of [...engineSpecs, ['with factors', factoredSpec] as const])
    it(`trains as one in the process's memory: ${name}`, async () => {
      const { binding } = loadTensorflow(one);
      const onDevice: Engine = {
        ...engine,
        createState: (networks) => createDeviceState(binding, networks),
      };
      const { values } = stepOf(spec);
      const expected = await takeSteps(engine, spec, values, 3);
      const actual = await takeSteps(onDevice, spec, values, 3);
      for (const what of ['outputs', 'parameters', 'vectors'] as const)
        assertClose(actual[what], expected[what], 1e-6);
    });

  it('begins with zeros, takes values, and gives them back whole and in parts', async () => {
    const state = await create();
    assert.ok(flat(await state.read()).every((value) => value === 0));
    const values = valuesOf(1);
    await state.write(values);
    const ordered = vectorsInOrder(updatedNetworks, { networks: values });
    const all = floatsOfState(updatedNetworks);
    for (const [start, end] of [
      [0, 5],
      [320, 330],
      [100, 1400],
      [all - 2, all],
      [7, 7],
    ]) {
      const expected = floatsIn(ordered, start, end).flatMap((piece) => [...piece]);
      const found = (await state.readRange(start, end)).flatMap((piece) => [...piece]);
      assert.deepEqual(found, expected, `${start} to ${end}`);
    }
    assert.deepEqual(flat(await state.read()), flat(values));
    await state.close();
    await assert.rejects(state.write(values), /is closed/);
  });

  it('is one state for all its steps, whatever is compiled and closed between them', async () => {
    const state = await create();
    const host = createHostState(updatedNetworks);
    const out = new Float32Array(vectorFloats);
    const check = async (step: CompiledStep, weight: number) => {
      await step.gradients({ x }, out, 0);
      assert.deepEqual(
        [...out.subarray(0, 2), ...out.subarray(102)],
        [0, 0, ...new Array<number>(updateShape.factors).fill(1)],
      );
      const expected = weight * x[9] + biasSum(host.vectors);
      assert.ok(Math.abs(out[11] - expected) < 1e-5, `${out[11]} is not ${expected}`);
    };
    const { weights, ...means } = result;
    const apply = async (step: CompiledStep, n: number) => {
      host.apply(updateProgram, { ...means, products: { weights } }, scalarsOfUpdate(n));
      await step.multiply(blocks);
      const squares = await step.apply(means, scalarsOfUpdate(n));
      const expected = means.gradients.slice(1, 323).reduce((sum, g) => sum + g * g, 0);
      assert.ok(Math.abs(squares['generator'] / expected - 1) < 1e-4);
    };
    const two = await state.compileStep(stepTimes(2));
    await apply(two, 1);
    await check(two, 2);
    const three = await state.compileStep(stepTimes(3));
    await check(three, 3);
    await apply(three, 2);
    await check(two, 2);
    await two.close();
    const four = await state.compileStep(stepTimes(4));
    await apply(four, 3);
    await check(three, 3);
    const [found, expected] = [flat(await state.read()), flat(host.vectors)];
    found.forEach((value, i) => assert.ok(Math.abs(value - expected[i]) < 1e-6, `${i}`));
    await state.close();
  });

  it('keeps no tensor and no memory over 1000 steps', async () => {
    const state = await create();
    const step = await state.compileStep(stepTimes(2));
    const out = new Float32Array(vectorFloats);
    const tensors = engine.nativeTensors();
    const memory = watchNativeMemory(1000);
    for (let i = 0; i < 1000; i++) {
      await step.gradients({ x }, out, 0);
      await step.multiply(blocks);
      await step.apply(result, scalarsOfUpdate(1 + i));
      await state.readRange(10 * i, 10 * i + 1000);
      memory.look();
    }
    assert.equal(engine.nativeTensors(), tensors);
    memory.assertNothingKept();
    await state.close();
  });
});
