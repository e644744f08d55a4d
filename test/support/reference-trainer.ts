// The oracle: a trainer written from the definition of a run, in one process and without any of
// the worker's code. A run is right when its parameters, and the average of the generator's, have
// the SHA-256 that this one gives.

import { createHash } from 'node:crypto';
import { createLayout, sliceViews } from '../../shared/layout.js';
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
    if (!graphs.has(graph)) {
      const engine = await createEngine(spec.engine.name, { threads: spec.engine.threads });
      const gradients = await engine.compile(inputs, (tensors) => run(tensors).gradients);
      graphs.set(graph, gradients);
    }
    const sum = async (from: number, to: number): Promise<Values> => {
      if (to - from === 1) {
        const names = networksIn(trains).flatMap((n) => n.parameters.map(({ name }) => name));
        const out = zerosLike(Object.fromEntries(names.map((name) => [name, parameters[name]])));
        const batch = await batchOf(step, from);
        await graphs.get(graph)!.run({ ...frozenOf(), ...parametersOf(), ...batch }, out);
        return out;
      }
      // The canonical tree: the left half is the larger one; float32, left + right.
      const middle = from + Math.ceil((to - from) / 2);
      const [left, right] = [await sum(from, middle), await sum(middle, to)];
      for (const name in left) left[name] = left[name].map((x, i) => x + right[name][i]);
      return left;
    };
    const frozenOf = (): Values =>
      Object.fromEntries(frozen.map(({ name }) => [name, weights[name]]));
    const parametersOf = (): Values =>
      Object.fromEntries(
        networksIn(reads).flatMap((n) => n.parameters.map(({ name }) => [name, parameters[name]])),
      );
    const sums = await sum(0, spec.batch.microShards);
    for (const network of networksIn(trains)) {
      const { warmUp = 0, steps: changes = [], ...base } = phase.learningRate;
      let rate = base[network.name as 'generator' | 'discriminator'];
      if (i + 1 < warmUp) rate = (rate * (i + 1)) / warmUp;
      for (const { at, factor } of changes) if (i >= at) rate *= factor;
      const t = (updates[network.name] = (updates[network.name] ?? 0) + 1);
      for (const { name } of network.parameters)
        adam(spec, rate, t, parameters[name], sums[name], m[name], v[name]);
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

/**
 * One update of Adam for one tensor, on the mean of the micro-shards' gradients: in float32, each
 * operation rounded. The constants are computed in double precision and rounded once.
 */
function adam(
  spec: RunSpec,
  rate: number,
  t: number,
  p: Float32Array,
  sums: Float32Array,
  m: Float32Array,
  v: Float32Array,
) {
  const { beta1, beta2, epsilon } = spec.optimizer;
  const constants = [1 / spec.batch.microShards, beta1, 1 - beta1, beta2, 1 - beta2, epsilon];
  const [share, keep1, take1, keep2, take2, floor] = constants.map(fround);
  const pace = fround(rate / (1 - power(beta1, t)));
  const toSquare = fround(1 / (1 - power(beta2, t)));
  for (let i = 0; i < p.length; i++) {
    const g = fround(sums[i] * share);
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
