// The training state on devices: each holds all of it in flat buffers, one a vector, and a step is
// two programs. One takes the buffers of parameters and a micro-shard, and gives the step's vector,
// which leaves the device in one copy. The other applies a reduced vector: it is given the buffers
// that it changes and returns them, so that the state stays where it is between two steps.

import {
  createVectors,
  floatsIn,
  namedVectors,
  vectorsInOrder,
  type StateVectors,
} from '../../../shared/checkpoint/state.js';
import { createLayout, type NetworkSpec } from '../../../shared/layout.js';
import { productsFunction, updateFunction, type UpdateScalars } from '../../../task/ops/update.js';
import { fedArray, ownSlices, type GradientSquares } from '../engine.js';
import type { CompiledStep, EngineState, StepMeans, StepProgram } from '../engine.js';
import { floatsOfValues, gatherFactors } from '../factors.js';
import { PjrtError } from './calls.js';
import type { PjrtBuffer, PjrtDevice } from './pjrt.js';
import { bufferOf, closeAll, type XlaRuntime } from './runtime.js';

/** A state of these networks on all devices of the runtime, all zeros. */
export async function createXlaState(
  runtime: XlaRuntime,
  networks: readonly NetworkSpec[],
): Promise<EngineState> {
  const zeros = networks.map((network) => [network.name, createVectors(network)] as const);
  const state = new DeviceState(runtime, networks, Object.fromEntries(zeros));
  await state.write(Object.fromEntries(zeros));
  return state;
}

/** A device and what it holds of the state, by "<network>/<vector>". */
interface Replica {
  readonly device: PjrtDevice;
  readonly buffers: Map<string, PjrtBuffer>;
}

class DeviceState implements EngineState {
  readonly #replicas: readonly Replica[];
  /** The copy of the present values, once it is asked for. */
  #copy: Promise<StateVectors> | undefined;
  /** Whether the plugin copies parts of a buffer, which is optional. */
  #readsParts = true;

  /** `host` is memory for a copy of the values. */
  constructor(
    private readonly runtime: XlaRuntime,
    private readonly networks: readonly NetworkSpec[],
    private readonly host: StateVectors,
  ) {
    this.#replicas = runtime.devices.map((device) => ({ device, buffers: new Map() }));
  }

  /** All devices hold the same values; they are read from the first. */
  read(): Promise<StateVectors> {
    return (this.#copy ??= this.#download());
  }

  async readRange(start: number, end: number): Promise<Float32Array[]> {
    if (this.#copy !== undefined || !this.#readsParts) return this.#rangeOfAll(start, end);
    const [{ buffers }] = this.#replicas;
    let at = 0;
    const copies = namedVectors(this.host).map(async ([name, { length }]) => {
      const [from, to] = [Math.max(0, start - at), Math.min(end - at, length)];
      at += length;
      const piece = new Float32Array(Math.max(0, to - from));
      if (piece.length > 0) await bufferOf(buffers, name).download(piece, from);
      return piece;
    });
    try {
      return await Promise.all(copies);
    } catch (error) {
      if (!(error instanceof PjrtError) || error.code !== 'UNIMPLEMENTED') throw error;
      await Promise.allSettled(copies);
      this.#readsParts = false;
      return this.#rangeOfAll(start, end);
    }
  }

  async #rangeOfAll(start: number, end: number): Promise<Float32Array[]> {
    const vectors = vectorsInOrder(this.networks, { networks: await this.read() });
    return floatsIn(vectors, start, end);
  }

  async write(values: StateVectors): Promise<void> {
    this.#copy = undefined;
    const upload = async ({ device, buffers }: Replica): Promise<void> => {
      for (const [name, vector] of namedVectors(values))
        replace(buffers, name, await this.runtime.client.upload(vector, [vector.length], device));
    };
    await Promise.all(this.#replicas.map(upload));
  }

  async compileStep(program: StepProgram): Promise<CompiledStep> {
    const gradients = await compileGradients(this.runtime, this.networks, program);
    const products = await compileProducts(this.runtime, program);
    const update = await compileUpdate(this.runtime, this.networks, program);
    return {
      gradients: (batch, out, device) => gradients.run(this.#replicas[device], batch, out),
      multiply: async (blocks) => {
        products.gather(blocks);
        await Promise.all(this.#replicas.map((replica) => products.run(replica.device)));
      },
      apply: async (means, scalars) => {
        this.#copy = undefined;
        const squares = this.#replicas.map((replica) =>
          update.run(replica, products.on(replica.device), means, scalars),
        );
        // All devices compute the same.
        return (await Promise.all(squares))[0];
      },
      close: () => {
        gradients.close();
        products.close();
        update.close();
        return Promise.resolve();
      },
    };
  }

  close(): Promise<void> {
    for (const { buffers } of this.#replicas) closeAll(buffers.values());
    return Promise.resolve();
  }

  async #download(): Promise<StateVectors> {
    const [{ buffers }] = this.#replicas;
    const copies = namedVectors(this.host).map(([name, vector]) =>
      bufferOf(buffers, name).download(vector),
    );
    await Promise.all(copies);
    return this.host;
  }
}

function replace(buffers: Map<string, PjrtBuffer>, name: string, buffer: PjrtBuffer): void {
  buffers.get(name)?.close();
  buffers.set(name, buffer);
}

/** The program that computes a micro-shard's vector. */
async function compileGradients(
  runtime: XlaRuntime,
  networks: readonly NetworkSpec[],
  { batch, reads, frozen, run, layout, update }: StepProgram,
) {
  const { client, devices } = runtime;
  const read = networks.filter(({ name }) => reads.includes(name));
  const inputs = [...batch, ...read.flatMap(({ parameters }) => parameters), ...frozen];
  const program = await runtime.program(inputs, run, {
    inputs: read.map(({ name, parameters }) => {
      return { name: `${name}/parameters`, layout: createLayout(parameters) };
    }),
    outputs: [{ name: 'vector', layout }],
    factored: update.products.map(({ name }) => name),
  });
  const weights = new Map<PjrtDevice, Map<string, PjrtBuffer>>();
  for (const device of devices) {
    const buffers = new Map<string, PjrtBuffer>();
    weights.set(device, buffers);
    for (const { name, values, shape } of frozen)
      buffers.set(name, await client.upload(values, shape, device));
  }
  const owned = layout.slices.filter(({ name }) => (ownSlices as readonly string[]).includes(name));
  return {
    run: async (
      { device, buffers }: Replica,
      values: Readonly<Record<string, Float32Array>>,
      out: Float32Array,
    ): Promise<void> => {
      const own = new Map<string, PjrtBuffer>();
      const kept = owned.map(({ offset }) => out[offset]);
      try {
        for (const { name, shape } of batch)
          own.set(name, await client.upload(fedArray(values, name), shape, device));
        const given = new Map([...buffers, ...(weights.get(device) ?? []), ...own]);
        for (const [name, buffer] of await program.run(device, given)) own.set(name, buffer);
        await bufferOf(own, 'vector').download(out);
      } finally {
        closeAll(own.values());
      }
      owned.forEach(({ offset }, i) => (out[offset] = kept[i]));
    },
    close: () => {
      program.close();
      for (const buffers of weights.values()) closeAll(buffers.values());
    },
  };
}

/** The program that multiplies the factors of all leaves; the products stay on each device. */
async function compileProducts(runtime: XlaRuntime, { update, leaves }: StepProgram) {
  const { client, devices } = runtime;
  const { inputs, run } = productsFunction(update.products, leaves);
  const program = inputs.length === 0 ? undefined : await runtime.program(inputs, run);
  const { matrices, gather } = gatherFactors(update.products, leaves);
  const made = new Map(devices.map((device) => [device, new Map<string, PjrtBuffer>()]));
  const on = (device: PjrtDevice): Map<string, PjrtBuffer> => made.get(device)!;
  return {
    gather,
    on,
    run: async (device: PjrtDevice): Promise<void> => {
      if (program === undefined) return;
      const own = new Map<string, PjrtBuffer>();
      try {
        for (const { name, shape } of inputs)
          own.set(name, await client.upload(matrices[name], shape, device));
        const products = await program.run(device, own);
        for (const [name, buffer] of products) replace(on(device), name, buffer);
      } finally {
        closeAll(own.values());
      }
    },
    close: () => {
      program?.close();
      for (const buffers of made.values()) closeAll(buffers.values());
    },
  };
}

/** The program that applies a step's result; the buffers that it changes are given to it. */
async function compileUpdate(
  runtime: XlaRuntime,
  networks: readonly NetworkSpec[],
  { update, shape }: StepProgram,
) {
  const { client } = runtime;
  const program = updateFunction(networks, update, shape);
  const donate = Object.fromEntries(program.changed.map(({ name }) => [name, name]));
  const compiled = await runtime.program(program.inputs, program.run, { donate });
  return {
    run: async (
      { device, buffers }: Replica,
      products: ReadonlyMap<string, PjrtBuffer>,
      means: StepMeans,
      scalars: UpdateScalars,
    ): Promise<GradientSquares> => {
      const feeds = {
        exact: means.exact,
        gradients: floatsOfValues(means.gradients),
        scalars: program.scalarsOf(scalars),
      };
      const own = new Map<string, PjrtBuffer>();
      const squares = Object.fromEntries(
        program.squares.map(({ name }) => [name, new Float32Array(1)] as const),
      );
      try {
        for (const [name, values] of Object.entries(feeds))
          own.set(name, await client.upload(values, [values.length], device));
        const results = await compiled.run(device, new Map([...buffers, ...products, ...own]));
        for (const [name, buffer] of results)
          if (name in squares) own.set(name, buffer);
          else replace(buffers, name, buffer);
        for (const [name, out] of Object.entries(squares)) await bufferOf(own, name).download(out);
      } finally {
        closeAll(own.values());
      }
      return program.squaresOf(squares);
    },
    close: () => compiled.close(),
  };
}
