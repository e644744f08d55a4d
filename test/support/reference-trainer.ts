// The oracle: a trainer written from the definition of a run, in one process and without any of
// the worker's code. A run is right when its parameters, and the average of the generator's, have
// the SHA-256 that this one gives.

import { createHash } from 'node:crypto';
import * as tf from '@tensorflow/tfjs-core';
import { createLayout, sizeOf, sliceViews, type TensorSpec } from '../../shared/layout.js';
import { phaseAt, type RunSpec } from '../../shared/spec/schema.js';
import { readFrozenInputs } from '../../shared/weights/feature-weights.js';
import { createSrganTask } from '../../task/srgan/task.js';
import type { CompiledGraph } from '../../worker/engine/engine.js';
import { createEngine } from '../../worker/engine/create-engine.js';

const { fround } = Math;

type Values = Record<string, Float32Array>;

/** Gives a step's micro-shard: the step's inputs by name. */
export type BatchOf = (step: number, leaf: number) => Promise<Values>;

/** Sums over the parameters of both networks, and over the average of the generator's. */
export interface ReferenceSums {
  readonly sha256: string;
  readonly average: string;
  /** The parameters themselves, network by network. */
  readonly parameters: readonly Float32Array[];
}

/** What a run has after `steps` steps of the spec, as SHA-256. */
export async function referenceSums(
  spec: RunSpec,
  steps: number,
  batchOf: BatchOf,
): Promise<ReferenceSums> {
  const task = createSrganTask(spec);
  const flat = task.networks.map(({ name }) => task.initialParameters(name, spec.seed));
  const views = task.networks.map((network, i) =>
    sliceViews(createLayout(network.parameters), flat[i]),
  );
  const parameters: Values = Object.assign({}, ...views);
  const m = zerosLike(parameters);
  const v = zerosLike(parameters);
  const updates: Record<string, number> = {};
  const average = flat[0].slice();
  const graphs = new Map<string, CompiledGraph>();
  const round = spec.exchange?.precision === 'bfloat16' ? toBfloat16 : (x: Values) => x;
  const share = fround(1 / spec.batch.microShards);
  const allFrozen = spec.phases.flatMap(({ name }) => task.step(name).frozen);
  const weights = await readFrozenInputs(spec, allFrozen, {});

  for (let step = 0; step < steps; step++) {
    const phase = phaseAt(spec, step);
    const before = spec.phases.slice(0, spec.phases.indexOf(phase));
    const i = step - before.reduce((sum, { steps }) => sum + steps, 0);
    const isAlone = (i + 1) % (phase.discriminatorSteps ?? 1) !== 0;
    const { trains, reads, frozen, run } = task.step(phase.name, isAlone ? 'discriminator' : 'all');
    const graph = `${phase.name} ${isAlone}`;
    const networksIn = (names: readonly string[]) =>
      task.networks.filter((n) => names.includes(n.name));
    const inputs = [
      ...task.batch(spec.batch.size),
      ...networksIn(reads).flatMap((n) => n.parameters),
      ...frozen,
    ];
    const trained = networksIn(trains).flatMap((n) => n.parameters);
    const factored = trained.filter(({ name, shape }) => isFactored(spec, name, shape));
    if (!graphs.has(graph)) {
      const engine = await createEngine(spec.engine.name, { threads: spec.engine.threads });
      const gradients = (tensors: Record<string, tf.Tensor>) => run(tensors).gradients;
      graphs.set(graph, await engine.compile(inputs, withProducts(gradients, factored)));
      if (factored.length > 0)
        graphs.set(`${graph} products`, await engine.compile(...multiplication(spec, factored)));
    }
    const factors: Values[] = [];
    const sum = async (from: number, to: number): Promise<Values> => {
      if (to - from === 1) {
        const summed = trained.filter((one) => !factored.includes(one));
        const out = arraysFor(summed);
        const own = arraysFor(factorsOf(factored, 2 * spec.batch.size));
        const batch = await batchOf(step, from);
        const feeds = { ...frozenOf(), ...parametersOf(), ...batch };
        await graphs.get(graph)!.run(feeds, { ...out, ...own });
        factors.push(round(own));
        return round(out);
      }
      // The canonical tree: the left half is the larger one; float32, left + right.
      const middle = from + Math.ceil((to - from) / 2);
      const [left, right] = [await sum(from, middle), await sum(middle, to)];
      for (const name in left) left[name] = left[name].map((x, i) => x + right[name][i]);
      return round(left);
    };
    const frozenOf = (): Values =>
      Object.fromEntries(frozen.map(({ name }) => [name, weights[name]]));
    const parametersOf = (): Values =>
      Object.fromEntries(
        networksIn(reads).flatMap((n) => n.parameters.map(({ name }) => [name, parameters[name]])),
      );
    const sums = await sum(0, spec.batch.microShards);
    for (const name in sums) sums[name] = sums[name].map((x) => x * share);
    const means = round(sums);
    if (factored.length > 0) {
      const products = arraysFor(factored);
      await graphs.get(`${graph} products`)!.run(joined(factors), products);
      Object.assign(means, products);
    }
    for (const network of networksIn(trains)) {
      const { warmUp = 0, steps: changes = [], ...base } = phase.learningRate;
      let rate = base[network.name as 'generator' | 'discriminator'];
      if (i + 1 < warmUp) rate = (rate * (i + 1)) / warmUp;
      for (const { at, factor } of changes) if (i >= at) rate *= factor;
      const t = (updates[network.name] = (updates[network.name] ?? 0) + 1);
      for (const { name } of network.parameters)
        adam(spec, rate, t, parameters[name], means[name], m[name], v[name]);
      if (network !== task.networks[0]) continue;
      const toNew = fround(1 - Math.min(spec.ema, (1 + t) / (10 + t)));
      for (const [i, value] of average.entries())
        average[i] = value + fround(toNew * fround(flat[0][i] - value));
    }
  }
  for (const graph of graphs.values()) await graph.close();
  return { sha256: sha256Of(...flat), average: sha256Of(average), parameters: flat };
}

function sha256Of(...vectors: Float32Array[]): string {
  const hash = createHash('sha256');
  for (const { buffer } of vectors) hash.update(new Uint8Array(buffer));
  return hash.digest('hex');
}

function zerosLike(values: Values): Values {
  return Object.fromEntries(
    Object.entries(values).map(([name, { length }]) => [name, new Float32Array(length)]),
  );
}

type Weights = readonly TensorSpec[];

/**
 * Whether the weights' gradient X^T Y, with X [rows, a] and Y [rows, b] of each micro-shard, is
 * multiplied from the factors of all of them: they are fewer. A dense layer of the discriminator
 * sees real and generated pictures together.
 */
function isFactored(spec: RunSpec, name: string, [a, b]: readonly number[]): boolean {
  const { exchange, discriminator, batch } = spec;
  const isDense = /^discriminator\/(hidden|verdict)\/weights$/.test(name);
  if (exchange?.factored !== 'auto' || discriminator.head !== 'dense' || !isDense) return false;
  return batch.microShards * 2 * batch.size * (a + b) < a * b;
}

/** The factors X and Y of so many rows. */
function factorsOf(weights: Weights, rows: number): TensorSpec[] {
  return weights.flatMap(({ name, shape: [a, b] }) => [
    { name: `X of ${name}`, shape: [rows, a] },
    { name: `Y of ${name}`, shape: [rows, b] },
  ]);
}

/** The function that multiplies the factors of all micro-shards, scaled, at once. */
function multiplication(spec: RunSpec, weights: Weights) {
  const { microShards, size } = spec.batch;
  const inputs = factorsOf(weights, microShards * 2 * size);
  const run = (given: Record<string, tf.Tensor>): Record<string, tf.Tensor> =>
    Object.fromEntries(
      weights.map(({ name }) => {
        const scaled = tf.mul(given[`Y of ${name}`], fround(1 / microShards));
        return [name, tf.matMul(given[`X of ${name}`], scaled, true)];
      }),
    );
  return [inputs, run] as const;
}

/** Gradients, and the factors of those that are factored: the product of their shape made them. */
function withProducts(
  gradients: (tensors: Record<string, tf.Tensor>) => Record<string, tf.Tensor>,
  factored: Weights,
): typeof gradients {
  return (tensors) => {
    const engine = tf.engine();
    const outputs: Record<string, tf.Tensor> = {};
    const { runKernel } = engine;
    engine.runKernel = (kernel, inputs, attrs) => {
      const { a, b } = inputs as Record<string, tf.Tensor>;
      for (const { name, shape } of factored)
        if (kernel === 'BatchMatMul' && attrs?.['transposeA'] === true)
          if (a.shape[1] === shape[0] && b.shape[1] === shape[1])
            Object.assign(outputs, { [`X of ${name}`]: tf.keep(a), [`Y of ${name}`]: tf.keep(b) });
      return runKernel.call(engine, kernel, inputs, attrs) as never;
    };
    try {
      return { ...gradients(tensors), ...outputs };
    } finally {
      engine.runKernel = runKernel;
    }
  };
}

function arraysFor(tensors: Weights): Values {
  return Object.fromEntries(
    tensors.map(({ name, shape }) => [name, new Float32Array(sizeOf(shape))]),
  );
}

/** The values of all micro-shards by name, one micro-shard behind the other. */
function joined(all: readonly Values[]): Values {
  const names = Object.keys(all[0]);
  return Object.fromEntries(
    names.map((name) => [name, Float32Array.from(all.flatMap((one) => [...one[name]]))]),
  );
}

/** The nearest values whose lower 16 bits are zeros; ties to the even one. */
function toBfloat16(values: Values): Values {
  const nearest = (array: Float32Array): Float32Array => {
    const bits = new Uint32Array(array.slice().buffer);
    const upper = bits.map((word) => {
      const [high, low] = [word >>> 16, word & 0xffff];
      return (low > 0x8000 || (low === 0x8000 && high % 2 === 1) ? high + 1 : high) << 16;
    });
    return new Float32Array(upper.buffer);
  };
  return Object.fromEntries(Object.entries(values).map(([name, array]) => [name, nearest(array)]));
}

/**
 * One update of Adam for one tensor, on the mean of the micro-shards' gradients: in float32, each
 * operation rounded. The constants are computed in double precision and rounded once.
 */
function adam(
  spec: RunSpec,
  rate: number,
  t: number,
  p: Float32Array,
  mean: Float32Array,
  m: Float32Array,
  v: Float32Array,
) {
  const { beta1, beta2, epsilon } = spec.optimizer;
  const constants = [beta1, 1 - beta1, beta2, 1 - beta2, epsilon];
  const [keep1, take1, keep2, take2, floor] = constants.map(fround);
  const pace = fround(rate / (1 - power(beta1, t)));
  const toSquare = fround(1 / (1 - power(beta2, t)));
  for (let i = 0; i < p.length; i++) {
    const g = mean[i];
    m[i] = fround(keep1 * m[i]) + fround(take1 * g);
    v[i] = fround(keep2 * v[i]) + fround(fround(take2 * g) * g);
    const size = fround(fround(Math.sqrt(fround(v[i] * toSquare))) + floor);
    p[i] -= fround(fround(pace * m[i]) / size);
  }
}

/** base^t: the product of base^(2^k) over the bits k of t, from the lowest. */
function power(base: number, t: number): number {
  let product = 1;
  for (let bits = t, factor = base; bits > 0; bits >>= 1, factor *= factor)
    if (bits & 1) product *= factor;
  return product;
}
