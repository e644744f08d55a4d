// What a compute engine is to the worker: it makes a TF.js function ready once and then runs all
// of it in one call. It sees names, shapes and float vectors, never a task.

import type { TensorSpec } from '../../shared/layout.js';
import type { EngineName } from '../../shared/spec/schema.js';
import type { TensorFunction } from '../../trace/trace.js';

/** What computes: an execution provider of ONNX Runtime's, or TensorFlow's CPU or CUDA kernels. */
export const providers = ['cpu', 'webgpu', 'cuda'] as const;
export type Provider = (typeof providers)[number];

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
  /** Tensors alive in native memory that the engine knows of, for finding leaks. */
  nativeTensors(): number;
  /**
   * Makes `f` ready for inputs of these names and shapes. Throws naming the kernel when `f` uses
   * one that the engine has no lowering for.
   */
  compile(inputs: readonly TensorSpec[], f: TensorFunction): Promise<CompiledGraph>;
}

export interface EngineOptions {
  /** Processor threads that one run may use. */
  readonly threads: number;
  /** Undefined: the engine's own choice. An engine never falls back to another provider. */
  readonly provider?: Provider | undefined;
  /** Writes a profile to a file that starts with this, for finding out where the time goes. */
  readonly profile?: string | undefined;
}

/** The array that is fed for an input; without one it is the caller's mistake. */
export function fedArray(
  feeds: Readonly<Record<string, Float32Array>>,
  name: string,
): Float32Array {
  const array = feeds[name];
  if (array === undefined) throw new Error(`the input '${name}' is not fed`);
  return array;
}
