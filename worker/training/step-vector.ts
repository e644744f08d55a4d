// The flat vector of a step: what workers exchange. Buckets one behind the other: gradients of
// each trained network, BatchNorm statistics, metrics, and the vote to stop.

import { createLayout, sizeOf, type FlatLayout, type TensorSpec } from '../../shared/layout.js';
import type { Range } from '../../shared/plan/reduction.js';
import type { StepDefinition, Task } from '../../task/task.js';

/** Places in the vector, in floats. */
export interface StepVector {
  /** Slices are named by the step graph's output ports; the last one is `stopVote`. */
  readonly layout: FlatLayout;
  /** The gradient of each trained network, in the layout of its parameters. */
  readonly gradients: Readonly<Record<string, Range>>;
  /** The statistics, in the order of the step's definition. */
  readonly statistics: Range;
  readonly metrics: Range;
}

/** Name of the slice in which a worker votes to stop: above 0 on any, all halt after the step. */
export const stopVote = 'control/stop';

/** Name of a step graph's output: "gradient/generator/head/filter". */
export function outputName(bucket: 'gradient' | 'statistic' | 'metric', name: string): string {
  return `${bucket}/${name}`;
}

/** Lays out the vector of a phase's step. */
export function stepVector(task: Task, definition: StepDefinition): StepVector {
  const slices: TensorSpec[] = [];
  const append = (
    bucket: 'gradient' | 'statistic' | 'metric',
    tensors: readonly TensorSpec[],
  ): Range => {
    const start = slices.reduce((sum, slice) => sum + sizeOf(slice.shape), 0);
    for (const { name, shape } of tensors) slices.push({ name: outputName(bucket, name), shape });
    return { start, end: start + tensors.reduce((sum, { shape }) => sum + sizeOf(shape), 0) };
  };
  const gradients: Record<string, Range> = {};
  for (const network of task.networks)
    if (definition.trains.includes(network.name))
      gradients[network.name] = append('gradient', network.parameters);
  const statistics = append('statistic', definition.statistics);
  const metrics = append(
    'metric',
    definition.metrics.map((name) => ({ name, shape: [] })),
  );
  slices.push({ name: stopVote, shape: [] });
  return { layout: createLayout(slices), gradients, statistics, metrics };
}
