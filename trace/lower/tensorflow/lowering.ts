// What the lowering of one kernel to TensorFlow is: from the tensors of its inputs to those of its
// outputs. TensorFlow's order of values is TF.js's own (NHWC, HWIO), so nothing is ever reordered.

import type { GraphValue } from '../../step-graph.js';
import type { GraphDefBuilder } from './builder.js';

/** A tensor of the GraphDef: "node" or "node:output". */
export interface Operand extends GraphValue {
  readonly name: string;
}

/** A kernel call with its inputs already lowered. */
export interface KernelCall {
  readonly kernel: string;
  readonly inputs: Readonly<Record<string, Operand>>;
  readonly outputs: readonly GraphValue[];
  readonly attrs: Readonly<Record<string, unknown>>;
}

/** Gives the names of the outputs' tensors. */
export type Lowering = (b: GraphDefBuilder, call: KernelCall) => string | readonly string[];

/** The input `name`; a graph without it is a bug of the tracer. */
export function input(call: KernelCall, name: string): Operand {
  const operand = call.inputs[name];
  if (operand === undefined) throw new Error(`${call.kernel} has no input '${name}'`);
  return operand;
}

/** The attribute `name`, of the type its recording gave it. */
export function attribute<T>(call: KernelCall, name: string): T {
  return call.attrs[name] as T;
}

/** The only or first output. */
export function output(call: KernelCall): GraphValue {
  return call.outputs[0];
}

/** An operation whose inputs are the kernel's, in the order of `names`. */
export function plain(op: string, ...names: readonly string[]): Lowering {
  return (b, call) => {
    const operands = names.map((name) => input(call, name));
    return b.op(
      op,
      operands.map(({ name }) => name),
      {},
      operands[0].dtype,
    );
  };
}
