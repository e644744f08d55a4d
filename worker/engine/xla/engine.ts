// The engine `xla`: any device that has a PJRT plugin. It lowers a step graph to StableHLO text,
// which XLA compiles for the device; the training state lies there, and is updated there.

import type { TensorSpec } from '../../../shared/layout.js';
import { OperatorError } from '../../../shared/problems.js';
import type { TensorFunction } from '../../../trace/trace.js';
import { fedArray, type CompiledGraph, type Engine, type EngineOptions } from '../engine.js';
import { createXlaState } from './device-state.js';
import type { PjrtBuffer } from './pjrt.js';
import { bufferOf, closeAll, createRuntime, type XlaRuntime } from './runtime.js';

/** Creates the engine; throws OperatorError when the machine lacks what is asked for. */
export async function createXlaEngine(options: EngineOptions): Promise<Engine> {
  if (options.profile !== undefined)
    throw new OperatorError('the engine xla can not do this', [
      { key: '--profile', given: options.profile, allowed: 'nothing: it can not profile' },
    ]);
  const runtime = await createRuntime(options);
  return {
    name: 'xla',
    fingerprint: `xla/${runtime.fingerprint}`,
    devices: runtime.devices.length,
    nativeTensors: () => runtime.client.liveBuffers,
    memoryInUse: () => memoryInUse(runtime),
    compile: (inputs, f, factored) => compile(runtime, inputs, f, factored),
    createState: (networks) => createXlaState(runtime, networks),
    close: () => {
      runtime.close();
      return Promise.resolve();
    },
  };
}

function memoryInUse({ devices }: XlaRuntime): number | undefined {
  const each = devices.map((device) => device.memory()?.inUse);
  return each.includes(undefined) ? undefined : each.reduce<number>((a, b) => a + (b ?? 0), 0);
}

/** A function with host memory going in and coming out, on the first device. */
async function compile(
  runtime: XlaRuntime,
  inputs: readonly TensorSpec[],
  f: TensorFunction,
  factored: readonly string[] = [],
): Promise<CompiledGraph> {
  const program = await runtime.program(inputs, f, { factored });
  const [device] = runtime.devices;
  return {
    run: async (feeds, fetches) => {
      const given = new Map<string, PjrtBuffer>();
      let results: ReadonlyMap<string, PjrtBuffer> = new Map();
      try {
        for (const { name, shape } of program.arguments)
          given.set(name, await runtime.client.upload(fedArray(feeds, name), shape, device));
        results = await program.run(device, given);
        for (const [name, into] of Object.entries(fetches))
          await bufferOf(results, name).download(into);
      } finally {
        closeAll(given.values());
        closeAll(results.values());
      }
    },
    close: () => {
      program.close();
      return Promise.resolve();
    },
  };
}
