// A training state in variables of a TensorFlow session, which lie where its kernels run: on the
// GPU. A step's batch goes there, gradients come back, the reduced vector goes there and is applied
// by the traced update. One session holds the variables and all steps that are compiled: a new step
// makes a new session, and the state moves over through host memory.

import { clone, reshape, slice, type Tensor } from '@tensorflow/tfjs-core';
import {
  createVectors,
  floatsIn,
  namedVectors,
  vectorsInOrder,
  type StateVectors,
} from '../../../shared/checkpoint/state.js';
import { createLayout, type NetworkSpec, type TensorSpec } from '../../../shared/layout.js';
import { productsFunction, updateFunction, type UpdateFunction } from '../../../task/ops/update.js';
import type { NamedTensors } from '../../../task/task.js';
import {
  assignedPort,
  joinGraphDefs,
  lowerRangeRead,
  lowerToGraphDef,
  type GraphDef,
  type GraphPlace,
} from '../../../trace/lower/tensorflow/lower.js';
import type { StepGraph } from '../../../trace/step-graph.js';
import type { TensorFunction } from '../../../trace/trace.js';
import { outputViews, type CompiledStep, type EngineState, type StepProgram } from '../engine.js';
import { floatsOfValues, gatherFactors } from '../factors.js';
import { traceAndLower } from '../lowering.js';
import { loadGraph, runGraph } from './graph.js';
import type { TensorflowBinding } from './load.js';

/** A step's graphs in the session; its frozen weights are variables as well. */
interface SessionStep {
  readonly program: StepProgram;
  readonly gradients: GraphDef;
  readonly update: UpdateFunction;
  readonly applied: GraphDef;
  /** Assigns the products; undefined where there are none. */
  readonly multiplied: GraphDef | undefined;
  readonly freeze: GraphDef;
}

/** A state of these networks, all zeros, where TensorFlow computes. */
export async function createDeviceState(
  binding: TensorflowBinding,
  networks: readonly NetworkSpec[],
): Promise<EngineState> {
  const state = new DeviceState(binding, networks);
  await state.open();
  return state;
}

class DeviceState implements EngineState {
  /** The vectors that have values, in the order of `vectorsInOrder`. */
  readonly #vectors: readonly TensorSpec[];
  readonly #steps = new Set<SessionStep>();
  readonly #whole: { readonly read: GraphDef; readonly write: GraphDef };
  readonly #parts: ReadonlyMap<string, GraphDef>;
  /** The values as they were read, until they change. */
  #copy: StateVectors | undefined;
  #session: number | undefined;
  #compiled = 0;

  constructor(
    private readonly binding: TensorflowBinding,
    private readonly networks: readonly NetworkSpec[],
  ) {
    this.#copy = Object.fromEntries(networks.map((each) => [each.name, createVectors(each)]));
    this.#vectors = Object.entries(vectorsByName(this.#copy)).map(([name, { length }]) => {
      return { name, shape: [length] };
    });
    const names = namesOf(this.#vectors);
    this.#whole = {
      read: lower(this.#vectors, copies, { prefix: 'read/', reads: names, writes: [] }),
      write: lower(this.#vectors, copies, { prefix: 'write/', reads: [], writes: names }),
    };
    this.#parts = new Map(
      this.#vectors.map(({ name, shape }, i) => {
        return [name, lowerRangeRead(name, shape[0], `range${i}/`)] as const;
      }),
    );
  }

  /** Makes a session of the steps there are, with the values that the last one had. */
  async open(): Promise<void> {
    const values = await this.read();
    await this.close();
    const steps = [...this.#steps];
    const graphs = steps.flatMap(({ gradients, applied, multiplied, freeze }) =>
      [gradients, applied, multiplied ?? [], freeze].flat(),
    );
    const { read, write } = this.#whole;
    const all = joinGraphDefs([read, write, ...this.#parts.values(), ...graphs]);
    this.#session = await loadGraph(this.binding, all);
    for (const { freeze, program } of steps)
      if (program.frozen.length > 0)
        this.#assign(freeze, Object.fromEntries(program.frozen.map((x) => [x.name, x.values])));
    await this.write(values);
  }

  async read(): Promise<StateVectors> {
    if (this.#copy === undefined) {
      const entries = this.networks.map((each) => [each.name, createVectors(each)] as const);
      const values: StateVectors = Object.fromEntries(entries);
      this.#run(this.#whole.read, {}, vectorsByName(values));
      this.#copy = values;
    }
    return this.#copy;
  }

  async readRange(start: number, end: number): Promise<Float32Array[]> {
    if (this.#copy !== undefined) {
      const ordered = vectorsInOrder(this.networks, { networks: this.#copy });
      return floatsIn(ordered, start, end);
    }
    const pieces: Float32Array[] = [];
    let at = 0;
    for (const { name, shape } of this.#vectors) {
      const [from, to] = [Math.max(start - at, 0), Math.min(end - at, shape[0])];
      at += shape[0];
      if (from >= to) continue;
      const piece = new Float32Array(to - from);
      const place = { begin: Int32Array.of(from), size: Int32Array.of(to - from) };
      this.#run(this.#parts.get(name)!, place, { [name]: piece });
      pieces.push(piece);
    }
    return pieces;
  }

  async write(values: StateVectors): Promise<void> {
    this.#assign(this.#whole.write, vectorsByName(values));
  }

  async compileStep(program: StepProgram): Promise<CompiledStep> {
    const prefix = `step${this.#compiled++}`;
    const { products } = program.update;
    const update = updateFunction(this.networks, program.update, program.shape);
    const changed = namesOf(update.changed);
    const frozen = namesOf(program.frozen);
    const applied = lower(update.inputs, update.run, {
      ...{ prefix: `${prefix}/update/`, writes: changed },
      reads: [...changed, ...products.map(({ name }) => name)],
    });
    const freeze = lower(program.frozen, copies, {
      ...{ prefix: `${prefix}/freeze/`, reads: [], writes: frozen },
    });
    const gradients = this.#lowerGradients(program, `${prefix}/gradients/`);
    const multiplied = lowerProducts(program, `${prefix}/products/`);
    const step: SessionStep = { program, gradients, update, applied, multiplied, freeze };
    this.#steps.add(step);
    await this.open();
    const { matrices, gather } = gatherFactors(products, program.leaves);
    return {
      gradients: async (batch, out) => {
        this.#run(gradients, batch, outputViews(program.layout, out));
      },
      multiply: async (blocks) => {
        if (multiplied === undefined) return;
        gather(blocks);
        this.#run(multiplied, matrices, { [assignedPort]: new Float32Array(1) });
      },
      apply: async ({ exact, gradients }, scalars) => {
        const feeds = { exact, gradients: floatsOfValues(gradients) };
        const squares = update.squares.map(({ name }) => [name, new Float32Array(1)] as const);
        const numbers = update.scalarsOf(scalars);
        this.#assign(applied, { ...feeds, scalars: numbers }, Object.fromEntries(squares));
        return update.squaresOf(Object.fromEntries(squares));
      },
      close: async () => void this.#steps.delete(step),
    };
  }

  async close(): Promise<void> {
    if (this.#session !== undefined) this.binding.deleteSavedModel(this.#session);
    this.#session = undefined;
  }

  /** The step on whole vectors, which are cut into the tensors that it knows. */
  #lowerGradients({ batch, reads, frozen, run, update }: StepProgram, prefix: string): GraphDef {
    const read = this.networks.filter(({ name }) => reads.includes(name));
    const vectors = read.map(({ name, parameters }) => {
      return { name: `${name}/parameters`, shape: [createLayout(parameters).size] };
    });
    const onVectors: TensorFunction = (tensors) => {
      const parameters = read.map(({ name, parameters }) =>
        cut(parameters, tensors[`${name}/parameters`]),
      );
      return run(Object.assign({ ...tensors }, ...parameters) as NamedTensors);
    };
    const variables = [...vectors, ...frozen];
    const place = { prefix, reads: namesOf(variables), writes: [] };
    const factored = update.products.map(({ name }) => name);
    return lower([...batch, ...variables], onVectors, place, factored);
  }

  #assign(
    graph: GraphDef,
    feeds: Readonly<Record<string, Float32Array>>,
    fetches: Readonly<Record<string, Float32Array>> = {},
  ): void {
    this.#run(graph, feeds, { ...fetches, [assignedPort]: new Float32Array(1) });
    this.#copy = undefined;
  }

  #run(
    graph: GraphDef,
    feeds: Readonly<Record<string, Float32Array | Int32Array>>,
    fetches: Readonly<Record<string, Float32Array>>,
  ): void {
    if (this.#session === undefined) throw new Error('this state is closed');
    runGraph(this.binding, this.#session, graph, feeds, fetches);
  }
}

/** Tensors as they are; a graph needs an operation for each. */
const copies: TensorFunction = (tensors) =>
  Object.fromEntries(Object.entries(tensors).map(([name, tensor]) => [name, clone(tensor)]));

/** Tensors that lie one behind the other in a vector. */
function cut(tensors: readonly TensorSpec[], vector: Tensor): NamedTensors {
  const pieces = createLayout(tensors).slices.map(({ name, shape, offset, size }) => {
    return [name, reshape(slice(vector, [offset], [size]), [...shape])] as const;
  });
  return Object.fromEntries(pieces);
}

function lower(
  inputs: readonly TensorSpec[],
  f: TensorFunction,
  place: GraphPlace,
  factored?: readonly string[],
): GraphDef {
  const toGraph = (graph: StepGraph): GraphDef => lowerToGraphDef(graph, place);
  return traceAndLower('tensorflow', inputs, f, toGraph, factored);
}

/** The products of gathered factors, which become variables. */
function lowerProducts({ update, leaves }: StepProgram, prefix: string): GraphDef | undefined {
  if (update.products.length === 0) return undefined;
  const { inputs, outputs, run } = productsFunction(update.products, leaves);
  return lower(inputs, run, { prefix, reads: [], writes: namesOf(outputs) });
}

function namesOf(tensors: readonly TensorSpec[]): string[] {
  return tensors.map(({ name }) => name);
}

/** The vectors by their names. */
function vectorsByName(values: StateVectors): Record<string, Float32Array> {
  return Object.fromEntries(namedVectors(values));
}
