// The training state of an engine that computes from this process's memory: its functions are fed
// with the state's own arrays, and the update is done in place.

import { copyVectors, floatsIn, vectorsInOrder } from '../../shared/checkpoint/state.js';
import { createLayout, sizeOf, sliceViews, type NetworkSpec } from '../../shared/layout.js';
import { productsFunction, type GradientProduct } from '../../task/ops/update.js';
import {
  outputViews,
  type CompiledStep,
  type Engine,
  type EngineState,
  type ExchangedValues,
  type StepProgram,
} from './engine.js';
import { gatherFactors } from './factors.js';
import { createHostState, type HostState } from './host-state.js';

/** A state of these networks for the engine that has this `compile`. */
export function createHostEngineState(
  networks: readonly NetworkSpec[],
  compile: Engine['compile'],
): Promise<EngineState> {
  const host = createHostState(networks);
  const ordered = vectorsInOrder(networks, { networks: host.vectors });
  const state: EngineState = {
    read: () => Promise.resolve(host.vectors),
    readRange: (start, end) => Promise.resolve(floatsIn(ordered, start, end)),
    write: (values) => Promise.resolve(copyVectors(values, host.vectors)),
    compileStep: (program) => compileStep(networks, host, compile, program),
    close: () => Promise.resolve(),
  };
  return Promise.resolve(state);
}

async function compileStep(
  networks: readonly NetworkSpec[],
  host: HostState,
  compile: Engine['compile'],
  { batch, reads, frozen, run, layout, leaves, update }: StepProgram,
): Promise<CompiledStep> {
  const read = networks.filter(({ name }) => reads.includes(name));
  const inputs = [...batch, ...read.flatMap(({ parameters }) => parameters), ...frozen];
  const factored = update.products.map(({ name }) => name);
  const compiled = await compile(inputs, run, factored);
  const products = await compileProducts(compile, update.products, leaves);
  const weights: Record<string, Float32Array> = Object.assign(
    Object.fromEntries(frozen.map(({ name, values }) => [name, values])),
    ...read.map(({ name, parameters }) =>
      sliceViews(createLayout(parameters), host.vectors[name].parameters),
    ),
  );
  const fetchesOf = createFetches(layout);
  return {
    gradients: (values, out) => compiled.run({ ...weights, ...values }, fetchesOf(out)),
    multiply: products.multiply,
    apply: (means, scalars) =>
      Promise.resolve(host.apply(update, { ...means, products: products.made }, scalars)),
    close: async () => {
      await compiled.close();
      await products.close();
    },
  };
}

/** The products of a step, always made into the same arrays. */
async function compileProducts(
  compile: Engine['compile'],
  products: readonly GradientProduct[],
  leaves: number,
) {
  if (products.length === 0)
    return { made: {}, multiply: () => Promise.resolve(), close: () => Promise.resolve() };
  const { inputs, outputs, run } = productsFunction(products, leaves);
  const compiled = await compile(inputs, run);
  const { matrices, gather } = gatherFactors(products, leaves);
  const made = Object.fromEntries(
    outputs.map(({ name, shape }) => [name, new Float32Array(sizeOf(shape))] as const),
  );
  return {
    made,
    multiply: async (blocks: readonly ExchangedValues[]): Promise<void> => {
      gather(blocks);
      await compiled.run(matrices, made);
    },
    close: () => compiled.close(),
  };
}

/**
 * Views by output name into a step's vector; the same objects for the same vector, since feeding
 * those again is cheap. Without the worker's own slices, which are no outputs.
 */
function createFetches(layout: StepProgram['layout']) {
  let last: { readonly out: Float32Array; readonly views: Record<string, Float32Array> };
  return (out: Float32Array): Record<string, Float32Array> => {
    if (last?.out !== out) {
      last = { out, views: outputViews(layout, out) };
    }
    return last.views;
  };
}
