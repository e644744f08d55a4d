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
import { updateFunction, type UpdateScalars } from '../../../task/ops/update.js';
import { fedArray, voteSlice } from '../engine.js';
import type { CompiledStep, EngineState, StepProgram } from '../engine.js';
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
    const update = await compileUpdate(this.runtime, this.networks, program);
    return {
      gradients: (batch, out, device) => gradients.run(this.#replicas[device], batch, out),
      apply: async (mean, scalars) => {
        this.#copy = undefined;
        await Promise.all(this.#replicas.map((replica) => update.run(replica, mean, scalars)));
      },
      close: () => {
        gradients.close();
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
  { batch, reads, frozen, run, layout }: StepProgram,
) {
  const { client, devices } = runtime;
  const read = networks.filter(({ name }) => reads.includes(name));
  const inputs = [...batch, ...read.flatMap(({ parameters }) => parameters), ...frozen];
  const program = await runtime.program(inputs, run, {
    inputs: read.map(({ name, parameters }) => {
      return { name: `${name}/parameters`, layout: createLayout(parameters) };
    }),
    outputs: [{ name: 'vector', layout }],
  });
  const weights = new Map<PjrtDevice, Map<string, PjrtBuffer>>();
  for (const device of devices) {
    const buffers = new Map<string, PjrtBuffer>();
    weights.set(device, buffers);
    for (const { name, values, shape } of frozen)
      buffers.set(name, await client.upload(values, shape, device));
  }
  const vote = layout.slices.find(({ name }) => name === voteSlice)?.offset;
  return {
    run: async (
      { device, buffers }: Replica,
      values: Readonly<Record<string, Float32Array>>,
      out: Float32Array,
    ): Promise<void> => {
      const own = new Map<string, PjrtBuffer>();
      const voted = vote === undefined ? 0 : out[vote];
      try {
        for (const { name, shape } of batch)
          own.set(name, await client.upload(fedArray(values, name), shape, device));
        const given = new Map([...buffers, ...(weights.get(device) ?? []), ...own]);
        for (const [name, buffer] of await program.run(device, given)) own.set(name, buffer);
        await bufferOf(own, 'vector').download(out);
      } finally {
        closeAll(own.values());
      }
      if (vote !== undefined) out[vote] = voted;
    },
    close: () => {
      program.close();
      for (const buffers of weights.values()) closeAll(buffers.values());
    },
  };
}

/** The program that applies a reduced vector; the buffers that it changes are given to it. */
async function compileUpdate(
  runtime: XlaRuntime,
  networks: readonly NetworkSpec[],
  { update, layout }: StepProgram,
) {
  const { client } = runtime;
  const { inputs, changed, run, scalarsOf } = updateFunction(networks, update, layout.size);
  const donate = Object.fromEntries(changed.map(({ name }) => [name, name]));
  const program = await runtime.program(inputs, run, { donate });
  return {
    run: async (
      { device, buffers }: Replica,
      mean: Float32Array,
      scalars: UpdateScalars,
    ): Promise<void> => {
      const numbers = scalarsOf(scalars);
      const own = new Map<string, PjrtBuffer>();
      try {
        const used = mean.subarray(0, layout.size);
        own.set('mean', await client.upload(used, [used.length], device));
        own.set('scalars', await client.upload(numbers, [numbers.length], device));
        const results = await program.run(device, new Map([...buffers, ...own]));
        for (const [name, buffer] of results) replace(buffers, name, buffer);
      } finally {
        closeAll(own.values());
      }
    },
    close: () => program.close(),
  };
}
