// The generator under evaluation: the task's inference graph, compiled for each size of face
// there is, fed with the parameters of one snapshot after the other.

import type { Enlarge } from '../../inference/evaluation/assess.js';
import { createLayout, sliceViews } from '../../shared/layout.js';
import type { Task } from '../../task/task.js';
import { scale } from '../data/bicubic.js';
import type { CompiledGraph, Engine } from '../engine/engine.js';
import type { EvaluationRequest } from './evaluator.js';

/** Gives the function that enlarges with a snapshot; one call at a time. */
export type EnlargerOf = (
  snapshot: Pick<EvaluationRequest, 'parameters' | 'statistics'>,
) => Enlarge;

/** Sizes of faces compiled at one time; a dataset of more sizes compiles some again. */
const mostSizes = 8;

/** The enlargers of a task; a graph is compiled for each size when it first comes. */
export function createEnlargers(engine: Engine, task: Task): EnlargerOf {
  const network = task.networks.find(({ name }) => name === task.inference.network);
  if (network === undefined) throw new Error(`the task has no network ${task.inference.network}`);
  const layouts = {
    parameters: createLayout(network.parameters),
    statistics: createLayout(network.statistics),
  };
  const weights = [...layouts.parameters.slices, ...layouts.statistics.slices];
  const compiled = new Map<string, CompiledGraph>();

  const graphOf = async (width: number, height: number): Promise<CompiledGraph> => {
    const size = `${width}x${height}`;
    const known = compiled.get(size);
    if (known !== undefined) return known;
    const oldest = [...compiled][0];
    if (oldest !== undefined && compiled.size >= mostSizes) {
      compiled.delete(oldest[0]);
      await oldest[1].close();
    }
    const inputs = [...weights, { name: 'input', shape: [1, height, width, 3] }];
    const graph = await engine.compile(inputs, (tensors) => ({
      output: task.inference.run(tensors),
    }));
    compiled.set(size, graph);
    return graph;
  };

  return (snapshot) => {
    const values = {
      ...sliceViews(layouts.parameters, snapshot.parameters),
      ...sliceViews(layouts.statistics, snapshot.statistics),
    };
    return async (lr, width, height) => {
      const output = new Float32Array(lr.length * scale * scale);
      const graph = await graphOf(width, height);
      await graph.run({ ...values, input: lr }, { output });
      return output;
    };
  };
}
