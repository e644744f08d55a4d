// Outputs that are one matrix product X^T Y: the gradient of a dense layer's weights is one of its
// inputs and of its outputs' gradients. The two can come out of a graph in the product's place.

import { sizeOf } from '../shared/layout.js';
import { dropUnused } from './simplify.js';
import type { GraphNode, GraphPort, StepGraph, ValueId } from './step-graph.js';

/** An output that is X^T Y, with X [rows, left] and Y [rows, right]. */
export interface ProductOutput {
  /** The output's name. */
  readonly name: string;
  readonly rows: number;
  readonly left: number;
  readonly right: number;
}

/** The names of an output's two factors, X and Y. */
export function factorNames(output: string): readonly [left: string, right: string] {
  return [`${output}/left`, `${output}/right`];
}

/** The outputs that are a product, in the order of the graph's outputs. */
export function findProducts(graph: StepGraph): ProductOutput[] {
  return graph.outputs.flatMap((output) => {
    const factors = factorsOf(graph, output);
    if (factors === undefined) return [];
    const [rows, left] = graph.values[factors.left].shape;
    const [, right] = graph.values[factors.right].shape;
    return [{ name: output.name, rows, left, right }];
  });
}

/** The same graph with two factors in the place of each product that is named. */
export function withFactors(graph: StepGraph, names: readonly string[]): StepGraph {
  const outputs = graph.outputs.flatMap((output): GraphPort[] => {
    if (!names.includes(output.name)) return [output];
    const factors = factorsOf(graph, output);
    if (factors === undefined) throw new Error(`the output '${output.name}' is no product`);
    const [left, right] = factorNames(output.name);
    return [
      { name: left, value: factors.left },
      { name: right, value: factors.right },
    ];
  });
  return dropUnused({ ...graph, outputs });
}

interface Factors {
  readonly left: ValueId;
  readonly right: ValueId;
}

/** X and Y of an output X^T Y, which may have passed reshapes; undefined when it is none. */
function factorsOf(graph: StepGraph, { value }: GraphPort): Factors | undefined {
  const producer = (id: ValueId): GraphNode | undefined =>
    graph.nodes.find(({ outputs }) => outputs.includes(id));
  let node = producer(value);
  while (node?.kernel === 'Reshape') node = producer(node.inputs['x']);
  if (node?.kernel !== 'BatchMatMul') return undefined;
  const { a, b } = node.inputs;
  const left = node.attrs['transposeA'] === true ? a : transposed(graph, producer(a));
  const right = node.attrs['transposeB'] === true ? transposed(graph, producer(b)) : b;
  if (left === undefined || right === undefined) return undefined;
  const [x, y] = [graph.values[left], graph.values[right]];
  const isPlain = x.shape.length === 2 && y.shape.length === 2;
  const isWhole = sizeOf(graph.values[value].shape) === x.shape[1] * y.shape[1];
  return isPlain && isWhole ? { left, right } : undefined;
}

/** The matrix that a node transposes. */
function transposed({ values }: StepGraph, node: GraphNode | undefined): ValueId | undefined {
  if (node?.kernel !== 'Transpose') return undefined;
  const { x } = node.inputs;
  return values[x].shape.length === 2 ? x : undefined;
}
