// How one kernel is recorded: from the shapes of its inputs and TF.js's raw attributes to the
// shapes of its outputs and attributes that a lowering can use as they are. No values exist here.

import type { DType, GraphValue } from '../step-graph.js';

export type RawAttributes = Readonly<Record<string, unknown>>;

/** A tensor as a recording sees it. */
export type Shaped = GraphValue;

export interface Recorded {
  readonly outputs: readonly Shaped[];
  /** The node's attributes; none when left out. */
  readonly attrs?: Readonly<Record<string, unknown>>;
}

/** `inputs` are by TF.js's input name; kernels that take a list name theirs "0", "1", ... */
export type Recording = (
  inputs: Readonly<Record<string, Shaped>>,
  attrs: RawAttributes,
) => Recorded;

/** The input `name`; its absence is a bug in the caller of the kernel. */
export function need(inputs: Readonly<Record<string, Shaped>>, name: string): Shaped {
  const input = inputs[name];
  if (input === undefined) throw new Error(`a kernel was called without its input '${name}'`);
  return input;
}

/** One output. */
export function one(
  shape: readonly number[],
  dtype: DType,
  attrs?: Readonly<Record<string, unknown>>,
): Recorded {
  const outputs = [{ shape: [...shape], dtype }];
  return attrs === undefined ? { outputs } : { outputs, attrs };
}
