// Lowers a step graph to the text of one StableHLO module with one function, `main`. Its arguments
// and results are the graph's inputs and outputs, or flat vectors of which those are slices: so a
// whole network's parameters are one buffer, and gradients leave a device in one copy.

import type { FlatLayout, TensorSpec } from '../../../shared/layout.js';
import type { Precision } from '../../../shared/spec/schema.js';
import type { GraphPort, StepGraph, ValueId } from '../../step-graph.js';
import { lowerNodes } from '../lowering.js';
import { operandNames, StablehloBuilder, typeText, type HloValue } from './builder.js';
import { convolutionToStablehlo } from './kernels/convolution.js';
import { elementwiseToStablehlo } from './kernels/elementwise.js';
import { concatenate, movementToStablehlo, slice } from './kernels/movement.js';
import { poolingNormToStablehlo } from './kernels/pooling-norm.js';

/** The kernels that have a lowering to StableHLO. */
export const stablehloLowerings = {
  ...elementwiseToStablehlo,
  ...movementToStablehlo,
  ...convolutionToStablehlo,
  ...poolingNormToStablehlo,
};

/** A flat vector of float32, and the tensors in it by the names of a graph's ports. */
export interface FlatPort {
  readonly name: string;
  readonly layout: FlatLayout;
}

/** How the graph's ports become arguments and results. */
export interface StablehloPacking {
  /**
   * Vectors, before all other arguments: an input that a vector has a slice for is taken from
   * there. Slices that are no inputs are left alone.
   */
  readonly inputs?: readonly FlatPort[];
  /**
   * Vectors, before all other results, made of the outputs of their slices' names. Gaps, and
   * slices that are no outputs, are 0.
   */
  readonly outputs?: readonly FlatPort[];
  /** Arguments whose memory becomes that of a result of the same type: argument to result. */
  readonly donate?: Readonly<Record<string, string>>;
}

export interface StablehloOptions extends StablehloPacking {
  /** What convolutions and matrix products compute with; float32 when left out. */
  readonly precision?: Precision;
}

/** Arguments and results of the module, in their order. */
export interface StablehloPorts {
  readonly arguments: readonly TensorSpec[];
  readonly results: readonly TensorSpec[];
}

/** What `main` takes and gives for a graph. */
export function stablehloPorts(graph: StepGraph, packing: StablehloPacking = {}): StablehloPorts {
  const portsOf = (vectors: readonly FlatPort[], own: readonly GraphPort[]): TensorSpec[] => [
    ...vectors.map(({ name, layout }) => ({ name, shape: [layout.size] })),
    ...unpacked(vectors, own).map(({ name, value }) => {
      return { name, shape: graph.values[value].shape };
    }),
  ];
  return {
    arguments: portsOf(packing.inputs ?? [], graph.inputs),
    results: portsOf(packing.outputs ?? [], graph.outputs),
  };
}

/** The ports that no vector has a slice for. */
function unpacked(vectors: readonly FlatPort[], ports: readonly GraphPort[]): GraphPort[] {
  const packed = new Set(vectors.flatMap(({ layout }) => layout.slices.map((slice) => slice.name)));
  return ports.filter(({ name }) => !packed.has(name));
}

/** The graph as a module's text. Throws UnknownKernel for a kernel that has no lowering. */
export function lowerToStablehlo(graph: StepGraph, options: StablehloOptions = {}): string {
  const b = new StablehloBuilder(options.precision ?? 'float32');
  const values = new Map<ValueId, HloValue>();
  const given = lowerInputs(b, graph, options.inputs ?? [], values);
  for (const [id, constant] of graph.constants)
    values.set(id, b.constant(graph.values[id], constant));
  const lowering = { engine: 'StableHLO', table: stablehloLowerings };
  lowerNodes(graph, lowering, b, values, (value) => value);
  const made = lowerOutputs(b, graph, options.outputs ?? [], values);
  const heirs = donations(stablehloPorts(graph, options), options.donate ?? {});
  return moduleText(b, given, made, heirs);
}

/** The module, with one function around what the builder has written. */
function moduleText(
  b: StablehloBuilder,
  given: readonly HloValue[],
  made: readonly HloValue[],
  heirs: ReadonlyMap<number, number>,
): string {
  const declared = given.map((value, i) => {
    const heir = heirs.get(i);
    const alias = heir === undefined ? '' : ` {tf.aliasing_output = ${heir} : i32}`;
    return `${value.name}: ${typeText(value)}${alias}`;
  });
  const types = made.map(typeText).join(', ');
  const body = [...b.operations, `return ${operandNames(made)} : ${types}`];
  const lines = body.map((operation) => `    ${operation.replaceAll('\n', '\n    ')}\n`).join('');
  return `module @step {
  func.func public @main(${declared.join(', ')}) -> (${types}) {
${lines}  }
}
`;
}

/** Arguments and the results that get their memory, by place. */
function donations(
  ports: StablehloPorts,
  donate: Readonly<Record<string, string>>,
): Map<number, number> {
  const place = (kind: 'argument' | 'result', name: string): number => {
    const at = ports[`${kind}s`].findIndex((port) => port.name === name);
    if (at < 0) throw new Error(`memory can't be given on: there is no ${kind} '${name}'`);
    return at;
  };
  return new Map(
    Object.entries(donate).map(([from, to]) => [place('argument', from), place('result', to)]),
  );
}

/** Places the graph's inputs in `values` and gives the arguments. */
function lowerInputs(
  b: StablehloBuilder,
  graph: StepGraph,
  vectors: readonly FlatPort[],
  values: Map<ValueId, HloValue>,
): HloValue[] {
  const ids = new Map(graph.inputs.map(({ name, value }) => [name, value]));
  const flat = vectors.map(({ layout }, i): HloValue => {
    return { name: `%arg${i}`, shape: [layout.size], dtype: 'float32' };
  });
  const own = unpacked(vectors, graph.inputs).map(({ value }, i): HloValue => {
    const argument = { name: `%arg${flat.length + i}`, ...graph.values[value] };
    values.set(value, argument);
    return argument;
  });
  vectors.forEach(({ layout }, i) => {
    for (const { name, shape, offset, size } of layout.slices) {
      const id = ids.get(name);
      if (id !== undefined) values.set(id, b.reshape(slice(b, flat[i], [offset], [size]), shape));
    }
  });
  return [...flat, ...own];
}

/** The results. */
function lowerOutputs(
  b: StablehloBuilder,
  graph: StepGraph,
  vectors: readonly FlatPort[],
  values: ReadonlyMap<ValueId, HloValue>,
): HloValue[] {
  const ids = new Map(graph.outputs.map(({ name, value }) => [name, value]));
  const flat = vectors.map(({ layout }) => {
    const parts: HloValue[] = [];
    let end = 0;
    const fillTo = (offset: number): void => {
      if (offset > end) parts.push(b.fill(0, [offset - end]));
      end = offset;
    };
    for (const { name, offset, size } of layout.slices) {
      const id = ids.get(name);
      if (id === undefined) continue;
      fillTo(offset);
      parts.push(b.reshape(values.get(id)!, [size]));
      end += size;
    }
    fillTo(layout.size);
    return parts.length === 1 ? parts[0] : concatenate(b, parts, 0);
  });
  return [...flat, ...unpacked(vectors, graph.outputs).map(({ value }) => values.get(value)!)];
}
