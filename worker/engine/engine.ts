// What a compute engine is to the worker: it compiles a step graph once and then runs all of it
// in one native call. It sees names, shapes and float vectors, never a task.

import type { StepGraph } from '../../trace/step-graph.js';

/** A compiled graph. Not reentrant: one run at a time. */
export interface CompiledGraph {
  /**
   * Runs the graph: `feeds` by input name, results written into `fetches` by output name (only
   * the outputs named there are computed for the caller). Arrays may be views of larger (shared)
   * buffers; feeding the same array object again is cheap. Values lie in TF.js's own order.
   */
  run(feeds: Record<string, Float32Array>, fetches: Record<string, Float32Array>): Promise<void>;
  close(): Promise<void>;
}

export interface Engine {
  readonly name: string;
  /** What changes the bytes: engine, version, provider and, where it matters, threads. */
  readonly fingerprint: string;
  compile(graph: StepGraph): Promise<CompiledGraph>;
}

export interface EngineOptions {
  readonly threads: number;
}
