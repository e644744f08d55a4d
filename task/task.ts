// What a training task is to the rest of Lockstep: networks with flat parameters, inputs of a
// micro-shard, and one function in TF.js ops a phase. It knows tensors only.

import type { Tensor } from '@tensorflow/tfjs-core';
import type { NetworkSpec, TensorSpec } from '../shared/layout.js';
import type { StepPart } from '../shared/spec/schedule.js';

export type NamedTensors = Record<string, Tensor>;

/**
 * The step of one phase. `run` is traced once: it maps named inputs (batch tensors, every parameter
 * of `reads` and the `frozen` weights) to outputs, all of them float32:
 * - `gradients`: for each trained network the gradients by parameter name;
 * - `statistics`: this micro-shard's own BatchNorm means and variances by statistic name;
 * - `metrics`: scalars by name.
 * Losses are means over the micro-shard, so that averaging over micro-shards gives the batch's.
 */
export interface StepDefinition {
  /** Networks whose parameters are inputs. */
  readonly reads: readonly string[];
  /** Weights that never change, inputs as well, named "<network>/<tensor>". */
  readonly frozen: readonly TensorSpec[];
  /** Networks whose gradients come out, in the order of `Task.networks`. */
  readonly trains: readonly string[];
  /** Statistics that come out (a subset of the networks'). */
  readonly statistics: readonly TensorSpec[];
  readonly metrics: readonly string[];
  run(inputs: NamedTensors): StepOutputs;
}

export interface StepOutputs {
  readonly gradients: NamedTensors;
  readonly statistics: NamedTensors;
  readonly metrics: NamedTensors;
}

/** The forward pass used for samples, evaluation and export: running statistics, any H and W. */
export interface InferenceDefinition {
  /** Network it reads; inputs are its parameters, its statistics and `input`. */
  readonly network: string;
  /** Output pixels a side for each input pixel. */
  readonly scale: number;
  /** An output pixel depends on input pixels at most so far away: the overlap that tiles need. */
  readonly radius: number;
  /** Low-resolution pixels [n, h, w, 3] in [0, 1] to high-resolution [n, 4h, 4w, 3] in [-1, 1]. */
  run(inputs: NamedTensors): Tensor;
}

export interface Task {
  readonly networks: readonly NetworkSpec[];
  /** Inputs of a micro-shard of `size` images: names and shapes. */
  batch(size: number): readonly TensorSpec[];
  /** Initial parameters of a network, a flat vector in the layout of its parameters. */
  initialParameters(network: string, seed: number): Float32Array;
  /** Initial statistics of a network (means 0, variances 1), flat. */
  initialStatistics(network: string): Float32Array;
  /** The step of a phase, or what a step of it does that trains only the discriminator. */
  step(phase: string, part?: StepPart): StepDefinition;
  readonly inference: InferenceDefinition;
}
