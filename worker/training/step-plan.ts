// What a step computes and exchanges, by arithmetic from the spec: how the vector of a micro-shard
// is laid out, which gradients are exchanged as factors, and where the update finds its values.

import { createLayout, sizeOf, type FlatLayout, type TensorSpec } from '../../shared/layout.js';
import type { Range } from '../../shared/plan/reduction.js';
import { placesOf, type StepShape } from '../../shared/plan/step-vector.js';
import { exchangeOf } from '../../shared/spec/exchange.js';
import { partsOfPhase, type StepPart } from '../../shared/spec/schedule.js';
import type { PhaseSpec, RunSpec } from '../../shared/spec/schema.js';
import type { GradientPiece, GradientProduct, UpdateProgram } from '../../task/ops/update.js';
import type { NamedTensors, StepDefinition, Task } from '../../task/task.js';
import { factorNames, findProducts, type ProductOutput } from '../../trace/factors.js';
import { ownSlices } from '../engine/engine.js';
import { traceAndLower } from '../engine/lowering.js';
import type { VectorLengths } from '../exchange/core/world.js';

/**
 * The flat vector of a micro-shard, in three sections one behind the other. Exact: the votes,
 * BatchNorm statistics and metrics. Gradients of the trained networks, one behind the other, less
 * those that are products. Factors: the two of each product. Places are in floats.
 */
export interface StepVector {
  /** Slices are named by the outputs of `outputsBySlice`, and of factors by `factorNames`. */
  readonly layout: FlatLayout;
  readonly shape: StepShape;
  /** Where a worker votes to stop: when the mean is above 0, all halt after the step. */
  readonly vote: number;
  /** 1 for a micro-shard that has values which are not finite; above 0 the step is skipped. */
  readonly notFinite: number;
  /** The statistics, in the order of the step's definition. */
  readonly statistics: Range;
  readonly metrics: Range;
}

/** A step's vector, and the update that follows its reduction. */
export interface StepPlan {
  readonly vector: StepVector;
  readonly update: UpdateProgram;
}

/** Plans a step of the spec. */
export function planStep(task: Task, spec: RunSpec, definition: StepDefinition): StepPlan {
  const { microShards } = spec.batch;
  const products = factoredGradients(task, spec, definition);
  const own = ownSlices.map((name) => ({ name, shape: [] }));
  const statistics = named('statistic', definition.statistics);
  const metrics = named(
    'metric',
    definition.metrics.map((name) => ({ name, shape: [] })),
  );
  const networks = task.networks
    .filter(({ name }) => definition.trains.includes(name))
    .map(({ name, parameters }) => ({ name, gradients: named('gradient', parameters) }));
  const isProduct = ({ name }: TensorSpec): boolean => products.some((one) => one.name === name);
  const summed = networks.flatMap(({ gradients }) => gradients.filter((g) => !isProduct(g)));
  const factors = products.flatMap(({ name, rows, left, right }) => {
    const [x, y] = factorNames(name);
    return [
      { name: x, shape: [rows, left] },
      { name: y, shape: [rows, right] },
    ];
  });
  const floats = (tensors: readonly TensorSpec[]): number => createLayout(tensors).size;
  const shape = {
    exact: floats([...own, ...statistics, ...metrics]),
    gradients: floats(summed),
    factors: floats(factors),
  };
  const start = own.length;
  const middle = start + floats(statistics);
  return {
    vector: {
      layout: createLayout([...own, ...statistics, ...metrics, ...summed, ...factors]),
      ...{ shape, vote: 0, notFinite: 1 },
      statistics: { start, end: middle },
      metrics: { start: middle, end: shape.exact },
    },
    update: {
      networks: networks.map(({ name, gradients }) => ({
        network: name,
        pieces: piecesOf(gradients, createLayout(summed)),
      })),
      statistics: statisticsMoves(task, definition, start),
      products: products.map(({ rows, ...one }): GradientProduct => {
        return { ...one, rows: microShards * rows };
      }),
    },
  };
}

/** The sections of a vector that is laid out as a micro-shard's. */
export function sectionsOf({ exact, gradients, factors }: StepShape, vector: Float32Array) {
  const end = exact + gradients;
  return {
    exact: vector.subarray(0, exact),
    gradients: vector.subarray(exact, end),
    factors: vector.subarray(end, end + factors),
  };
}

/** A step with its plan. */
export interface PlannedStep extends StepPlan {
  readonly definition: StepDefinition;
}

/** The planned steps of a run. Each is planned once: that takes a trace. */
export interface StepPlans {
  readonly spec: RunSpec;
  of(phase: PhaseSpec, part: StepPart): PlannedStep;
}

/** Plans the steps of a run as they are asked for; phases with the same losses share theirs. */
export function createStepPlans(task: Task, spec: RunSpec): StepPlans {
  const planned = new Map<string, PlannedStep>();
  return {
    spec,
    of: (phase, part) => {
      const key = JSON.stringify([phase.loss, part]);
      let step = planned.get(key);
      if (step === undefined) {
        const definition = task.step(phase.name, part);
        step = { definition, ...planStep(task, spec, definition) };
        planned.set(key, step);
      }
      return step;
    },
  };
}

/** The lengths of the longest vectors of any step of the run. */
export function longestVectors(plans: StepPlans): VectorLengths {
  const { spec } = plans;
  const { precision } = exchangeOf(spec);
  const shapes = allShapes(plans);
  const places = shapes.map((shape) => placesOf(shape, precision, spec.batch.microShards));
  return {
    contributionBytes: Math.max(...places.map(({ contributionBytes }) => contributionBytes)),
    resultBytes: Math.max(...places.map(({ resultBytes }) => resultBytes)),
  };
}

/** Whether any step of the run exchanges factors. */
export function isFactored(plans: StepPlans): boolean {
  return allShapes(plans).some(({ factors }) => factors > 0);
}

function allShapes(plans: StepPlans): StepShape[] {
  return plans.spec.phases.flatMap((phase) =>
    partsOfPhase(phase).map((part) => plans.of(phase, part).vector.shape),
  );
}

/** A step's inputs: a micro-shard, parameters and frozen weights. */
function inputsOf(task: Task, spec: RunSpec, { reads, frozen }: StepDefinition): TensorSpec[] {
  const read = task.networks.filter(({ name }) => reads.includes(name));
  return [
    ...task.batch(spec.batch.size),
    ...read.flatMap(({ parameters }) => parameters),
    ...frozen,
  ];
}

/** A step's outputs, by the names of the vector's slices. */
export function outputsBySlice(definition: StepDefinition, inputs: NamedTensors): NamedTensors {
  const { gradients, statistics, metrics } = definition.run(inputs);
  const rename = (kind: OutputKind, tensors: NamedTensors) =>
    Object.entries(tensors).map(([name, tensor]) => [sliceName(kind, name), tensor] as const);
  return Object.fromEntries([
    ...rename('gradient', gradients),
    ...rename('statistic', statistics),
    ...rename('metric', metrics),
  ]);
}

type OutputKind = 'gradient' | 'statistic' | 'metric';

/** Name of an output's slice: "gradient/generator/head/filter". */
function sliceName(kind: OutputKind, output: string): string {
  return `${kind}/${output}`;
}

function named(kind: OutputKind, tensors: readonly TensorSpec[]): TensorSpec[] {
  return tensors.map(({ name, shape }) => ({ name: sliceName(kind, name), shape }));
}

/**
 * The gradients that are exchanged as factors: products whose factors of all micro-shards are
 * smaller than they are. `rows` are a micro-shard's. The engine `tensorflow-eager` has no trace to
 * take factors from; and workers with different engines would multiply to different bytes.
 */
function factoredGradients(
  task: Task,
  spec: RunSpec,
  definition: StepDefinition,
): readonly ProductOutput[] {
  const { engine, batch } = spec;
  const isAlike = engine.name !== 'tensorflow-eager' && engine.mixed !== true;
  if (exchangeOf(spec).factored === 'never' || !isAlike) return [];
  const run = (tensors: NamedTensors): NamedTensors => outputsBySlice(definition, tensors);
  const found = traceAndLower(engine.name, inputsOf(task, spec, definition), run, findProducts);
  return found.filter(
    ({ name, rows, left, right }) =>
      name.startsWith(sliceName('gradient', '')) &&
      batch.microShards * rows * (left + right) < left * right,
  );
}

/** A network's gradient: what is summed as it lies in the section of gradients, and products. */
function piecesOf(gradients: readonly TensorSpec[], section: FlatLayout): GradientPiece[] {
  const pieces: GradientPiece[] = [];
  for (const { name, shape } of gradients) {
    const slice = section.slices.find((slice) => slice.name === name);
    const last = pieces.at(-1);
    const size = sizeOf(shape);
    if (slice === undefined) pieces.push({ kind: 'product', name, size });
    else if (last?.kind === 'summed') pieces.splice(-1, 1, { ...last, size: last.size + size });
    else pieces.push({ kind: 'summed', from: slice.offset, size });
  }
  return pieces;
}

/** Where statistics go, which begin at `start`; those that lie together go together. */
function statisticsMoves(
  task: Task,
  definition: StepDefinition,
  start: number,
): UpdateProgram['statistics'] {
  const { slices } = createLayout(definition.statistics);
  const moves: { network: string; offset: number; from: number; size: number }[] = [];
  for (const { name: network, statistics: running } of task.networks)
    for (const { name, offset, size } of createLayout(running).slices) {
      const slice = slices.find((slice) => slice.name === name);
      if (slice === undefined) continue;
      const from = start + slice.offset;
      const last = moves.at(-1);
      const isNext =
        last?.network === network &&
        last.offset + last.size === offset &&
        last.from + last.size === from;
      if (isNext) last.size += size;
      else moves.push({ network, offset, from, size });
    }
  return moves;
}
