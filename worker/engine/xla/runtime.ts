// A plugin's client with the devices that this process drives, and the programs that run there:
// functions of TF.js's that were traced, lowered to StableHLO and compiled, with buffers of one
// device going in and coming out by their names.

import { cpus } from 'node:os';
import type { TensorSpec } from '../../../shared/layout.js';
import { OperatorError } from '../../../shared/problems.js';
import type { Precision } from '../../../shared/spec/schema.js';
import {
  lowerToStablehlo,
  stablehloPorts,
  type StablehloPacking,
} from '../../../trace/lower/stablehlo/lower.js';
import type { StepGraph } from '../../../trace/step-graph.js';
import type { TensorFunction } from '../../../trace/trace.js';
import type { EngineOptions } from '../engine.js';
import { traceAndLower } from '../lowering.js';
import type { PjrtBuffer, PjrtClient, PjrtDevice } from './pjrt.js';
import { openXlaClient, type XlaProvider } from './plugin.js';
import { openExecutable } from './stored-executable.js';

/** Buffers of one device, by the names of arguments or results. */
export type NamedBuffers = ReadonlyMap<string, PjrtBuffer>;

/** A compiled function. */
export interface XlaProgram {
  readonly arguments: readonly TensorSpec[];
  readonly results: readonly TensorSpec[];
  /**
   * Starts it on a device, where all of its arguments are; gives its results, which are the
   * caller's to close and may still be computed. Arguments that were to be donated hold nothing
   * afterwards.
   */
  run(device: PjrtDevice, given: NamedBuffers): Promise<Map<string, PjrtBuffer>>;
  close(): void;
}

/** How a function's ports become arguments and results. */
export interface ProgramOptions extends StablehloPacking {
  /** Outputs that come out as two factors. */
  readonly factored?: readonly string[];
}

export interface XlaRuntime {
  readonly client: PjrtClient;
  /** The devices that are driven: of one kind. */
  readonly devices: readonly PjrtDevice[];
  /** What changes the bytes: "cuda 13000/0.116-1f2e3d4c5b6a/NVIDIA H200/bfloat16". */
  readonly fingerprint: string;
  /** Compiles `f`, or loads it where it is kept; `options` make flat vectors of its ports. */
  program(
    inputs: readonly TensorSpec[],
    f: TensorFunction,
    options?: ProgramOptions,
  ): Promise<XlaProgram>;
  close(): void;
}

/**
 * The platform, with the version of its libraries where the plugin says it: "cpu", "cuda 13000".
 * They compute as well, so it belongs to what changes the bytes.
 */
export function namedPlatform({
  platform,
  platformVersion,
}: Pick<PjrtClient, 'platform' | 'platformVersion'>): string {
  const lines = platformVersion.split('\n').map((line) => line.trim());
  return lines.find((line) => line.startsWith(`${platform} `)) ?? platform;
}

/** Starts the plugin for the provider; throws OperatorError when it can't do what is asked for. */
export async function createRuntime(options: EngineOptions): Promise<XlaRuntime> {
  const { threads, devices: asked = 1, precision = 'float32' } = options;
  const { client, version, flags } = await openXlaClient({
    // Others are refused before.
    provider: options.provider as XlaProvider | undefined,
    ...{ threads, devices: asked },
  });
  const devices = client.devices.slice(0, asked === 'all' ? undefined : asked);
  requireOneKind(devices);
  requirePrecision(client, precision);
  const { platform, platformVersion } = client;
  const [{ kind }] = devices;
  const isCpu = platform === 'cpu';
  const facts = {
    platform: `${platform} ${platformVersion}`,
    plugin: version,
    // Code for a processor uses what its model can do.
    device: isCpu ? `${process.arch} ${cpus()[0]?.model}` : kind,
    options: JSON.stringify(isCpu ? { ...flags, threads } : flags),
  };
  const compiler = {
    compile: (program: string) => client.compile(program, flags),
    load: (serialized: Uint8Array) => client.load(serialized),
  };
  const parts = [namedPlatform(client), version, isCpu ? `threads=${threads}` : kind];
  if (precision !== 'float32') parts.push(precision);
  return {
    client,
    devices,
    fingerprint: parts.join('/'),
    program: async (inputs, f, { factored, ...packing } = {}) => {
      const lower = (graph: StepGraph) => ({
        text: lowerToStablehlo(graph, { ...packing, precision }),
        ports: stablehloPorts(graph, packing),
      });
      const { text, ports } = traceAndLower('xla', inputs, f, lower, factored);
      const executable = await openExecutable(compiler, text, facts, options);
      return {
        ...ports,
        run: async (device, given) => {
          const inputs = ports.arguments.map(({ name }) => bufferOf(given, name));
          const results = await executable.execute(device, inputs);
          return new Map(ports.results.map(({ name }, i) => [name, results[i]]));
        },
        close: () => executable.close(),
      };
    },
    close: () => client.close(),
  };
}

/** The buffer of this name; that there is none is a bug. */
export function bufferOf(buffers: NamedBuffers, name: string): PjrtBuffer {
  const buffer = buffers.get(name);
  if (buffer === undefined) throw new Error(`there is no buffer '${name}'`);
  return buffer;
}

/** Closes all of them. */
export function closeAll(buffers: Iterable<PjrtBuffer>): void {
  for (const buffer of buffers) buffer.close();
}

/** One executable is for all of them. */
function requireOneKind(devices: readonly PjrtDevice[]): void {
  const kinds = [...new Set(devices.map(({ kind }) => kind))];
  if (kinds.length === 1) return;
  const hint = 'CUDA_VISIBLE_DEVICES chooses among GPUs';
  throw new OperatorError('these devices can not be used together', [
    { key: '--devices', given: kinds.join(', '), allowed: 'devices of one kind', hint },
  ]);
}

function requirePrecision({ platform }: PjrtClient, precision: Precision): void {
  if (precision !== 'tf32' || platform === 'cuda') return;
  const allowed = 'float32, bfloat16';
  throw new OperatorError(`the engine xla can not do this on ${platform}`, [
    { key: 'engine.precision', given: precision, allowed, hint: "TF32 is of NVIDIA's GPUs" },
  ]);
}
