import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createSrganTask } from '../../../task/srgan/task.js';
import type { StepGraph } from '../../../trace/step-graph.js';
import { trace } from '../../../trace/trace.js';
import { tinySpec } from './tiny-spec.js';

function traceStep(phase: string): StepGraph {
  const task = createSrganTask(tinySpec());
  const step = task.step(phase);
  const read = task.networks.filter(({ name }) => step.reads.includes(name));
  const inputs = [...task.batch(2), ...read.flatMap(({ parameters }) => parameters)];
  return trace(inputs, (tensors) => {
    const { gradients, statistics, metrics } = step.run(tensors);
    return { ...gradients, ...statistics, ...metrics };
  });
}

function countKernels(graph: StepGraph): (kernel: string) => number {
  return (kernel) => graph.nodes.filter((node) => node.kernel === kernel).length;
}

// One block: head, two of the block, middle, two stages, tail.
const generatorConvolutions = 7;

test('traced, the adversarial step runs nothing twice', () => {
  const count = countKernels(traceStep('adversarial'));
  // The discriminator's eight on real and on generated pictures, though both losses ask for them.
  assert.equal(count('Conv2D'), generatorConvolutions + 2 * 8);
  assert.equal(count('BatchNormTraining'), 3 + 2 * 7);
  // Back through all but the first of each for the parameters, and through the discriminator
  // once more to the picture.
  assert.equal(count('Conv2DBackpropInput'), generatorConvolutions - 1 + 2 * 7 + 8);
  assert.equal(count('Conv2DBackpropFilter'), generatorConvolutions + 2 * 8);
  // Two layers of the head: forward, back to their inputs for each loss, and their weights.
  assert.equal(count('BatchMatMul'), 2 * 4);
});

test('traced, the step reads every parameter and writes every gradient', () => {
  const task = createSrganTask(tinySpec());
  for (const phase of ['pixel', 'adversarial']) {
    const graph = traceStep(phase);
    const trained = task.networks.filter(({ name }) => task.step(phase).trains.includes(name));
    const shapes = new Map(
      graph.outputs.map(({ name, value }) => [name, graph.values[value].shape]),
    );
    for (const { name, shape } of trained.flatMap(({ parameters }) => parameters))
      assert.deepEqual(shapes.get(name), shape, name);
  }
});
