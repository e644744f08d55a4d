// What the lowering of one kernel is: from ONNX values of its inputs to those of its outputs.

import type { GraphValue } from '../../step-graph.js';
import type { OnnxBuilder } from './builder.js';
import type { OnnxValue } from './value.js';

/** A kernel call with its inputs already lowered. */
export interface KernelCall {
  readonly kernel: string;
  readonly inputs: Readonly<Record<string, OnnxValue>>;
  readonly outputs: readonly GraphValue[];
  readonly attrs: Readonly<Record<string, unknown>>;
}

export type Lowering = (b: OnnxBuilder, call: KernelCall) => OnnxValue | readonly OnnxValue[];

/** The input `name`; a graph without it is a bug of the tracer. */
export function input(call: KernelCall, name: string): OnnxValue {
  const value = call.inputs[name];
  if (value === undefined) throw new Error(`${call.kernel} has no input '${name}'`);
  return value;
}

/** The attribute `name`, of the type its recording gave it. */
export function attribute<T>(call: KernelCall, name: string): T {
  return call.attrs[name] as T;
}

/** Logical shape of the only or first output. */
export function outputShape(call: KernelCall): readonly number[] {
  return call.outputs[0].shape;
}
