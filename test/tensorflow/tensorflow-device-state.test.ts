// The training state in variables of TensorFlow's session, where it lies on a GPU, tried on the CPU:
// it is what the state in the process's memory would be.

import { add, mul, sum } from '@tensorflow/tfjs-core';
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
  voteSlice,
  type Engine,
  type EngineState,
  type StepProgram,
} from '../../worker/engine/engine.js';
import { createHostState } from '../../worker/engine/host-state.js';
import { createDeviceState } from '../../worker/engine/tensorflow/device-state.js';
import { loadTensorflow } from '../../worker/engine/tensorflow/load.js';
import { assertClose } from '../support/engine/graph-parity.js';
import { engineSpecs, stepOf } from '../support/engine/srgan-specs.js';
import { takeSteps } from '../support/engine/trained-steps.js';
import {
  meanFloats,
  scalarsOfUpdate,
  updatedNetworks,
  updateProgram,
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
  const x = { name: 'x', shape: [meanFloats - 1] };
  return {
    batch: [x],
    reads: ['generator'],
    frozen: [{ name: `weight/${weight}`, shape: [1], values: Float32Array.of(weight) }],
    run: (tensors) => {
      const scaled = mul(tensors['x'], tensors[`weight/${weight}`]);
      return { 'metric/all': add(scaled, sum(tensors['generator/bias'])) };
    },
    layout: createLayout([
      { ...x, name: 'metric/all' },
      { name: voteSlice, shape: [] },
    ]),
    update: updateProgram,
  };
}

const mean = Float32Array.from({ length: meanFloats }, (_, i) => ((i * 7) % 11) / 10 - 0.5);
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

  for (const [name, spec] of engineSpecs)
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
    const out = new Float32Array(meanFloats);
    const check = async (step: Awaited<ReturnType<typeof state.compileStep>>, weight: number) => {
      await step.gradients({ x: mean.subarray(1) }, out, 0);
      assert.equal(out[meanFloats - 1], 0);
      const expected = weight * mean[9] + biasSum(host.vectors);
      assert.ok(Math.abs(out[8] - expected) < 1e-5, `${out[8]} is not ${expected}`);
    };
    const apply = async (step: Awaited<ReturnType<typeof state.compileStep>>, n: number) => {
      host.apply(updateProgram, mean, scalarsOfUpdate(n));
      await step.apply(mean, scalarsOfUpdate(n));
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
    const out = new Float32Array(meanFloats);
    const tensors = engine.nativeTensors();
    const resident: number[] = [];
    for (let i = 0; i < 1000; i++) {
      await step.gradients({ x: mean.subarray(1) }, out, 0);
      await step.apply(mean, scalarsOfUpdate(1 + i));
      await state.readRange(10 * i, 10 * i + 1000);
      resident.push(process.memoryUsage.rss());
    }
    assert.equal(engine.nativeTensors(), tensors);
    // By then the arrays that come and go have filled what the garbage collector lets them.
    const [early, late] = [resident[500], resident.at(-1)!];
    assert.ok(late < 1.05 * early, `${early} bytes after 500 steps, ${late} after 1000`);
    await state.close();
  });
});
