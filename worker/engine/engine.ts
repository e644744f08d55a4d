// What a compute engine is to the worker: it makes a TF.js function ready once and then runs all
// of it in one call; and it keeps the state that is trained, wherever that suits it. It sees names,
// shapes and float vectors, never a task.

import type { StateVectors } from '../../shared/checkpoint/state.js';
import { sliceViews, type FlatLayout } from '../../shared/layout.js';
import type { NetworkSpec, TensorSpec } from '../../shared/layout.js';
import type { Log } from '../../shared/log.js';
import type { StepShape } from '../../shared/plan/step-vector.js';
import type { DeviceCount } from '../../shared/spec/engines.js';
import type { EngineName, Precision } from '../../shared/spec/schema.js';
import type { ObjectStore } from '../../shared/store/store.js';
import type { UpdateProgram, UpdateScalars } from '../../task/ops/update.js';
import type { TensorFunction } from '../../trace/trace.js';
import { onnxProviders } from './onnx-providers.js';

/** What computes: the kind of device, by the name of what drives it. */
export const providers = ['cpu', 'webgpu', 'cuda', 'rocm'] as const;
export type Provider = (typeof providers)[number];

/** What each engine can compute with, somewhere. */
export const engineProviders: Readonly<Record<EngineName, readonly Provider[]>> = {
  onnx: onnxProviders,
  tensorflow: ['cpu', 'cuda'],
  'tensorflow-eager': ['cpu', 'cuda'],
  xla: ['cpu', 'cuda', 'rocm'],
};

/** A compiled function. Not reentrant: one run at a time. */
export interface CompiledGraph {
  /**
   * Runs the function: `feeds` by input name, results written into `fetches` by output name (only
   * the outputs named there are computed for the caller). Arrays may be views of larger (shared)
   * buffers; feeding the same array object again is cheap. Values lie in TF.js's own order.
   */
  run(feeds: Record<string, Float32Array>, fetches: Record<string, Float32Array>): Promise<void>;
  close(): Promise<void>;
}

export interface Engine {
  readonly name: EngineName;
  /** What changes the bytes: engine, version, provider and, where it matters, threads. */
  readonly fingerprint: string;
  /** Devices that compute micro-shards side by side: 1 but for engines that drive several. */
  readonly devices: number;
  /** Tensors alive in native memory that the engine knows of, for finding leaks. */
  nativeTensors(): number;
  /** Bytes in use on all of its devices; undefined, or left out, where it does not know. */
  memoryInUse?(): number | undefined;
  /**
   * Makes `f` ready for inputs of these names and shapes. Throws naming the kernel when `f` uses
   * one that the engine has no lowering for. Outputs named in `factored` come out as two factors
   * (`factorNames`), which an engine that does not trace can not do.
   */
  compile(
    inputs: readonly TensorSpec[],
    f: TensorFunction,
    factored?: readonly string[],
  ): Promise<CompiledGraph>;
  /** Memory for a training state of these networks, all zeros, wherever the engine keeps it. */
  createState(networks: readonly NetworkSpec[]): Promise<EngineState>;
  /** Gives back what the engine itself holds; states and compiled functions are closed before. */
  close(): Promise<void>;
}

/** A training state as an engine keeps it: in flat arrays, or in buffers of its devices. */
export interface EngineState {
  /**
   * The present values in host memory, to be read only: the engine's own arrays where they lie
   * there, else a copy; valid until the state changes.
   */
  read(): Promise<StateVectors>;
  /**
   * Floats [start, end) of the vectors of `vectorsInOrder`, one behind the other, in pieces; valid
   * until the state changes.
   */
  readRange(start: number, end: number): Promise<Float32Array[]>;
  /** Replaces all values by those of a state of the same networks. */
  write(values: StateVectors): Promise<void>;
  /** Makes a step ready on this state. Several may be compiled; one is used at a time. */
  compileStep(program: StepProgram): Promise<CompiledStep>;
  close(): Promise<void>;
}

/** A training step as the engine sees it. */
export interface StepProgram {
  /** Inputs of a micro-shard. */
  readonly batch: readonly TensorSpec[];
  /** Networks whose parameters `run` takes, by the tensors' names. */
  readonly reads: readonly string[];
  /** Inputs that never change, with their values. */
  readonly frozen: readonly FrozenInput[];
  /**
   * Batch, parameters and frozen tensors in; outputs by the names of the layout's slices, but for
   * `ownSlices`, and a product in the place of its two factors.
   */
  readonly run: TensorFunction;
  /** A micro-shard's flat vector, in three sections: exact, gradients, factors. */
  readonly layout: FlatLayout;
  /** Values of the sections. */
  readonly shape: StepShape;
  /** Micro-shards of a step. */
  readonly leaves: number;
  readonly update: UpdateProgram;
}

/** Slices of a step's vector that no output fills: the worker itself writes there. */
export const ownSlices = ['control/stop', 'control/not-finite'] as const;

/** The places of a step's outputs in its vector, by their names. */
export function outputViews(
  layout: FlatLayout,
  vector: Float32Array,
): Record<string, Float32Array> {
  const views = sliceViews(layout, vector);
  for (const name of ownSlices) delete views[name];
  return views;
}

/** Values in memory that threads may share: float32, or the bits of bfloat16. */
export type ExchangedValues = Float32Array | Uint16Array;

/** The sums of a step's result: means over all micro-shards. */
export interface StepMeans {
  readonly exact: Float32Array;
  readonly gradients: ExchangedValues;
}

/** The sum of the squares of each trained network's mean gradient. */
export type GradientSquares = Readonly<Record<string, number>>;

/** A weight that a step takes and never changes. */
export interface FrozenInput extends TensorSpec {
  readonly values: Float32Array;
}

/** A step that is ready to run on a state. */
export interface CompiledStep {
  /**
   * Computes a micro-shard at the present state on one of the engine's devices (from 0): gradients,
   * statistics and metrics into `out`, of `layout.size` floats in memory that threads don't share;
   * the places of `ownSlices` are left alone. One at a time on a device, and none while the state
   * changes.
   */
  gradients(
    batch: Readonly<Record<string, Float32Array>>,
    out: Float32Array,
    device: number,
  ): Promise<void>;
  /** Makes the products of all leaves' factors, a block for each, ready for the next `apply`. */
  multiply(blocks: readonly ExchangedValues[]): Promise<void>;
  /** Applies a step's means, and the products made last, to the state; all of them are finite. */
  apply(means: StepMeans, scalars: UpdateScalars): Promise<GradientSquares>;
  close(): Promise<void>;
}

export interface EngineOptions {
  /** Processor threads that one run may use. */
  readonly threads: number;
  /** Undefined: the engine's own choice. An engine never falls back to another provider. */
  readonly provider?: Provider | undefined;
  /** Of convolutions and products; float32 when left out. */
  readonly precision?: Precision | undefined;
  /** Devices that are driven side by side; 1 when left out. */
  readonly devices?: DeviceCount | undefined;
  /** The run's folder, where compiled executables are kept; undefined: none is kept. */
  readonly executables?: ObjectStore | undefined;
  /** Structured lines about executables, for operators of a cluster. */
  readonly log?: Log | undefined;
  /** Prints something for the operator that does not end the run. */
  readonly warn?: ((text: string) => void) | undefined;
  /** Writes a profile to a file that starts with this, for finding out where the time goes. */
  readonly profile?: string | undefined;
}

/** The array that is fed for an input; without one it is the caller's mistake. */
export function fedArray<T>(feeds: Readonly<Record<string, T>>, name: string): T {
  const array = feeds[name] as T | undefined;
  if (array === undefined) throw new Error(`the input '${name}' is not fed`);
  return array;
}
