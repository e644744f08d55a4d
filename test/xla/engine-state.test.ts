// The training state on devices: the same on all of them, read and written whole or in part, and
// nothing native that is left over after many steps.

import * as tf from '@tensorflow/tfjs-core';
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { createLayout } from '../../shared/layout.js';
import { createEngine } from '../../worker/engine/create-engine.js';
import type { Engine, EngineState } from '../../worker/engine/engine.js';
import { watchNativeMemory } from '../support/engine/native-memory.js';
import { engineSpecs, stepOf } from '../support/engine/srgan-specs.js';
import { takeSteps } from '../support/engine/trained-steps.js';
import { skipWithoutXla as skip } from '../support/servers.js';

const networks = [
  {
    name: 'n',
    parameters: [
      { name: 'a', shape: [2, 2] },
      { name: 'b', shape: [3] },
    ],
    statistics: [{ name: 's', shape: [2] }],
    isAveraged: true,
  },
];
const scalars = {
  ...{ beta1: 0.5, rest1: 0.5, beta2: 0.75, rest2: 0.25, epsilon: 0.5 },
  ...{ momentum: 0.75, restMomentum: 0.25 },
  networks: { n: { rate: 2, scale2: 4, averageRest: 0.5 } },
};

/** A step whose gradients are 2 * parameters + x, and whose statistics are x. */
function stepOn(state: EngineState) {
  return state.compileStep({
    batch: [{ name: 'x', shape: [] }],
    reads: ['n'],
    frozen: [{ name: 'two', shape: [], values: Float32Array.of(2) }],
    run: ({ a, b, x, two }) => ({
      ga: tf.add(tf.mul(a, two), x),
      gb: tf.add(tf.mul(b, two), x),
      s: tf.broadcastTo(x, [2]),
    }),
    layout: createLayout([
      { name: 'control/stop', shape: [] },
      { name: 'control/not-finite', shape: [] },
      { name: 's', shape: [2] },
      { name: 'ga', shape: [2, 2] },
      { name: 'gb', shape: [3] },
    ]),
    ...{ shape: { exact: 4, gradients: 7, factors: 0 }, leaves: 1 },
    update: {
      networks: [{ network: 'n', pieces: [{ kind: 'summed', from: 0, size: 7 }] }],
      statistics: [{ network: 'n', offset: 0, from: 2, size: 2 }],
      products: [],
    },
  });
}

async function withEngine(devices: number, use: (engine: Engine) => Promise<void>): Promise<void> {
  const engine = await createEngine('xla', { threads: 2, provider: 'cpu', devices });
  try {
    await use(engine);
    assert.equal(engine.nativeTensors(), 0);
  } finally {
    await engine.close();
  }
}

describe('a state on the devices of xla', { skip }, () => {
  it('is written, changed and read, alike on two devices', () =>
    withEngine(2, async (engine) => {
      assert.equal(engine.devices, 2);
      const state = await engine.createState(networks);
      const step = await stepOn(state);
      const parameters = Float32Array.of(1, 2, 3, 4, 5, 6, 7);
      const zeros = () => new Float32Array(7);
      const others = { firstMoment: zeros(), secondMoment: zeros(), average: parameters.slice() };
      await state.write({ n: { parameters, ...others, statistics: Float32Array.of(8, 8) } });
      const outs = [0, 1].map(() => new Float32Array(11).fill(9));
      await Promise.all(
        outs.map((out, device) => step.gradients({ x: Float32Array.of(4) }, out, device)),
      );
      const gradients = [...parameters].map((p) => 2 * p + 4);
      // The votes' places are the worker's.
      for (const out of outs) assert.deepEqual([...out], [9, 9, 4, 4, ...gradients]);
      // A step's result lies in memory that threads share.
      const mean = new Float32Array(new SharedArrayBuffer(4 * 11));
      mean.set(outs[0]);
      const means = { exact: mean.subarray(0, 4), gradients: mean.subarray(4) };
      const { n: squares } = await step.apply(means, scalars);
      assert.equal(
        squares,
        gradients.reduce((sum, g) => sum + g * g, 0),
      );
      mean.fill(NaN);
      const copied = (await state.readRange(5, 25)).flatMap((piece) => [...piece]);
      const { n } = await state.read();
      gradients.forEach((g, i) => {
        const [m, v] = [0.5 * g, 0.25 * g * g];
        const p = parameters[i] - (2 * m) / (Math.sqrt(4 * v) + 0.5);
        assert.equal(n.firstMoment[i], m);
        assert.equal(n.secondMoment[i], v);
        assert.ok(Math.abs(n.parameters[i] - p) < 1e-5 * Math.abs(p));
        assert.ok(Math.abs(n.average[i] - (parameters[i] + p) / 2) < 1e-5);
      });
      assert.deepEqual([...n.statistics], [7, 7]);
      const order = [n.parameters, n.firstMoment, n.secondMoment, n.statistics, n.average];
      const all = order.flatMap((vector) => [...vector]);
      const part = (await state.readRange(5, 25)).flatMap((piece) => [...piece]);
      assert.deepEqual(part, all.slice(5, 25));
      assert.deepEqual(copied, part);
      await Promise.all(
        outs.map((out, device) => step.gradients({ x: Float32Array.of(4) }, out, device)),
      );
      assert.deepEqual(outs[1], outs[0]);
      assert.ok(outs[0].every((value, i) => i < 4 || value !== gradients[i - 4]));
      await step.close();
      await state.close();
    }));

  it('leaves nothing over after 500 steps, in the plugin and in memory', () =>
    withEngine(1, async (engine) => {
      const [, spec] = engineSpecs[0];
      const { values } = stepOf(spec);
      const memory = watchNativeMemory(500);
      const buffers: number[] = [];
      await takeSteps(engine, spec, values, 500, -1, () => {
        memory.look();
        buffers.push(engine.nativeTensors());
      });
      assert.equal(new Set(buffers).size, 1);
      memory.assertNothingKept();
    }));
});

describe('the engine xla', { skip }, () => {
  const cpu = { threads: 2, provider: 'cpu' } as const;

  it('says what changes its bytes', async () => {
    const own: string[] = [];
    for (const options of [
      cpu,
      { ...cpu, threads: 1 },
      { ...cpu, precision: 'bfloat16' } as const,
    ]) {
      const engine = await createEngine('xla', options);
      own.push(engine.fingerprint.replace(/\d\.\d+-[0-9a-f]{12}/, 'VERSION'));
      await engine.close();
    }
    const twice = 'xla/cpu/VERSION/threads=2';
    assert.deepEqual(own, [twice, 'xla/cpu/VERSION/threads=1', `${twice}/bfloat16`]);
  });

  it('refuses what a CPU has not got, and says what it has', async () => {
    const refused = (options: object) => createEngine('xla', { ...cpu, ...options });
    await assert.rejects(refused({ precision: 'tf32' }), /allowed: float32, bfloat16.*TF32/);
    await assert.rejects(refused({ devices: 3 }), /--devices: given 3; allowed: at most 2/);
    await assert.rejects(refused({ provider: 'webgpu' }), /allowed: cpu, cuda, rocm/);
    await assert.rejects(refused({ profile: 'p' }), /--profile/);
  });
});
