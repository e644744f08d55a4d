// What the lowerings to all engines share. An engine brings a `Builder` that writes its graph, a
// `Value` that stands for a tensor there, and a table of kernels.

import { UnknownKernel, type GraphValue, type StepGraph, type ValueId } from '../step-graph.js';

/** A kernel call with its inputs already lowered. */
export interface KernelCall<Value> {
  readonly kernel: string;
  readonly inputs: Readonly<Record<string, Value>>;
  readonly outputs: readonly GraphValue[];
  readonly attrs: Readonly<Record<string, unknown>>;
}

/** Writes one kernel; gives what each of its outputs is, or its only output. */
export type Lowering<Builder, Value, Result = Value> = (
  b: Builder,
  call: KernelCall<Value>,
) => Result | readonly Result[];

/** Lowerings by kernel. */
export type LoweringTable<Builder, Value, Result = Value> = Readonly<
  Record<string, Lowering<Builder, Value, Result>>
>;

/** The input `name`; a graph without it is a bug of the tracer. */
export function input<Value>({ kernel, inputs }: KernelCall<Value>, name: string): Value {
  const value = inputs[name];
  if (value === undefined) throw new Error(`${kernel} has no input '${name}'`);
  return value;
}

/** The inputs of these names, in their order. */
export function inputsOf<Value>(call: KernelCall<Value>, ...names: string[]): Value[] {
  return names.map((name) => input(call, name));
}

/** The attribute `name`, of the type that its recording gave it. */
export function attribute<T>({ attrs }: KernelCall<unknown>, name: string): T {
  return attrs[name] as T;
}

/** The only or first output. */
export function output({ outputs }: KernelCall<unknown>): GraphValue {
  return outputs[0];
}

/** The axes of `shape` along which a tensor of shape `from` was broadcast to it. */
export function broadcastAxes(from: readonly number[], shape: readonly number[]): number[] {
  const missing = shape.length - from.length;
  return shape.flatMap((extent, axis) =>
    axis < missing || (from[axis - missing] === 1 && extent !== 1) ? [axis] : [],
  );
}

/**
 * Lowers all nodes in their order. `values` holds the graph's inputs and constants at first, and
 * all values afterwards; `place` makes a value of what a lowering gave for it.
 */
export function lowerNodes<Builder, Value, Result>(
  graph: StepGraph,
  { engine, table }: { engine: string; table: LoweringTable<Builder, Value, Result> },
  b: Builder,
  values: Map<ValueId, Value>,
  place: (result: Result, value: GraphValue) => Value,
): void {
  for (const { kernel, inputs, outputs, attrs } of graph.nodes) {
    const lowering = table[kernel];
    if (lowering === undefined) throw new UnknownKernel(kernel, `lowering to ${engine}`);
    const given = Object.entries(inputs).map(([name, id]) => [name, values.get(id)!] as const);
    const results = lowering(b, {
      ...{ kernel, inputs: Object.fromEntries(given), attrs },
      outputs: outputs.map((id) => graph.values[id]),
    });
    const list = [results].flat() as Result[];
    outputs.forEach((id, i) => values.set(id, place(list[i], graph.values[id])));
  }
}
