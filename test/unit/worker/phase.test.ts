// Which steps are compiled, and for how long, on an engine that computes nothing.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { placesOf } from '../../../shared/plan/step-vector.js';
import type { PhaseSpec, RunSpec } from '../../../shared/spec/schema.js';
import { createSrganTask } from '../../../task/srgan/task.js';
import type { CompiledGraph } from '../../../worker/engine/engine.js';
import { createHostEngineState } from '../../../worker/engine/host-engine-state.js';
import { createPhases } from '../../../worker/training/phase.js';
import { createStepPlans, longestVectors, planStep } from '../../../worker/training/step-plan.js';
import { tinyRun } from '../../support/tiny-run.js';

async function phasesOf(...phases: PhaseSpec[]) {
  const spec: RunSpec = { ...tinyRun('file://nowhere'), phases };
  const task = createSrganTask(spec);
  const log: string[] = [];
  let graphs = 0;
  const compile = (): Promise<CompiledGraph> => {
    const graph = ++graphs;
    log.push(`compile ${graph}`);
    const close = () => Promise.resolve(void log.push(`close ${graph}`));
    return Promise.resolve({ run: () => Promise.resolve(), close });
  };
  const state = await createHostEngineState(task.networks, compile);
  return { spec, task, log, phases: createPhases(task, spec, state, {}) };
}

const [pixel, adversarial] = tinyRun('file://nowhere').phases;

test('phases with the same losses share a compiled step, each with its own rates', async () => {
  const settle = { ...pixel, name: 'settle', learningRate: { generator: 1e-5, discriminator: 0 } };
  const { log, phases } = await phasesOf(pixel, settle, { ...adversarial, discriminatorSteps: 1 });
  assert.equal((await phases.at(2)).spec.name, 'pixel');
  assert.equal((await phases.at(3)).spec.learningRate.generator, 1e-5);
  assert.deepEqual(log, ['compile 1']);
  await phases.at(6);
  await phases.close();
  assert.deepEqual(log, ['compile 1', 'close 1', 'compile 2', 'close 2']);
});

test('both kinds of steps of a phase stay compiled, each with its own vector', async () => {
  const { spec, task, log, phases } = await phasesOf({ ...adversarial, steps: 4 });
  const steps = [];
  for (const step of [0, 1, 2, 3]) steps.push(await phases.at(step));
  assert.deepEqual(log, ['compile 1', 'compile 2']);
  const networks = steps.map(({ update }) => update.networks.map(({ network }) => network).join());
  assert.deepEqual(networks, [
    'discriminator',
    'generator,discriminator',
    networks[0],
    networks[1],
  ]);
  const { shape } = steps[1].vector;
  assert.deepEqual(planStep(task, spec, task.step('adversarial')).vector.shape, shape);
  const { contributionBytes, resultBytes } = placesOf(shape, 'float32', 5);
  assert.deepEqual(longestVectors(createStepPlans(task, spec)), { contributionBytes, resultBytes });
  await phases.close();
  assert.equal(log.length, 4);
});
