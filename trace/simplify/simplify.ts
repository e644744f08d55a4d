// Simplifies a step graph without changing what it computes: one pass forward with the rules and
// with common subexpressions shared, then everything that no output needs is dropped.

import type { GraphConstant, GraphNode, GraphValue, StepGraph, ValueId } from '../step-graph.js';
import { rewrite, type RuleView } from './rules.js';

/** The same function as `graph` with fewer nodes; inputs and outputs keep names and order. */
export function simplify(graph: StepGraph): StepGraph {
  return dropUnused(rewriteForward(graph));
}

function rewriteForward(graph: StepGraph): StepGraph {
  const constants = new Map(graph.constants);
  const producers = new Map<ValueId, GraphNode>();
  const aliases = new Map<ValueId, ValueId>();
  const known = new Map<string, readonly ValueId[]>();
  const nodes: GraphNode[] = [];
  const resolve = (id: ValueId): ValueId => aliases.get(id) ?? id;
  const view: RuleView = {
    value: (id) => graph.values[id],
    constant: (id) => constants.get(id),
    producer: (id) => producers.get(id),
  };
  shareConstants(graph, aliases);
  for (const original of graph.nodes) {
    const entries = Object.entries(original.inputs).map(([name, id]) => [name, resolve(id)]);
    const inputs = Object.fromEntries(entries) as Record<string, ValueId>;
    const result = rewrite({ ...original, inputs }, view);
    const output = original.outputs[0];
    if (result.kind === 'alias') {
      aliases.set(output, result.value);
    } else if (result.kind === 'fill') {
      constants.set(output, { kind: 'fill', value: result.value });
    } else {
      const key = keyOf(result.node, graph.values);
      const earlier = known.get(key);
      if (earlier) {
        original.outputs.forEach((id, i) => aliases.set(id, earlier[i]));
        continue;
      }
      known.set(key, result.node.outputs);
      result.node.outputs.forEach((id) => producers.set(id, result.node));
      nodes.push(result.node);
    }
  }
  const outputs = graph.outputs.map(({ name, value }) => ({ name, value: resolve(value) }));
  return { ...graph, constants, nodes, outputs };
}

/** Constants that hold the same become one value. */
function shareConstants(graph: StepGraph, aliases: Map<ValueId, ValueId>): void {
  const known = new Map<string, ValueId>();
  for (const [id, constant] of graph.constants) {
    const value = graph.values[id];
    const content = contentOf(constant);
    if (content === undefined) continue;
    const key = `${value.dtype} ${value.shape.join('x')} ${content}`;
    const earlier = known.get(key);
    if (earlier === undefined) known.set(key, id);
    else aliases.set(id, earlier);
  }
}

const largestSharedConstant = 4096;

function contentOf(constant: GraphConstant): string | undefined {
  if (constant.kind === 'fill') return `fill ${constant.value}`;
  return constant.data.length <= largestSharedConstant ? constant.data.join() : undefined;
}

/** Two nodes with the same key compute the same. */
function keyOf(node: GraphNode, values: readonly GraphValue[]): string {
  const outputs = node.outputs.map((id) => values[id]);
  return JSON.stringify([node.kernel, node.inputs, node.attrs, outputs]);
}

/** Drops unneeded nodes and values, and numbers the rest anew; inputs always stay. */
function dropUnused(graph: StepGraph): StepGraph {
  const needed = new Set(graph.outputs.map(({ value }) => value));
  const kept: GraphNode[] = [];
  for (const node of [...graph.nodes].reverse()) {
    if (!node.outputs.some((id) => needed.has(id))) continue;
    kept.push(node);
    Object.values(node.inputs).forEach((id) => needed.add(id));
    node.outputs.forEach((id) => needed.add(id));
  }
  graph.inputs.forEach(({ value }) => needed.add(value));
  const ids = [...needed].sort((a, b) => a - b);
  const renumbered = new Map(ids.map((id, i) => [id, i]));
  const at = (id: ValueId): ValueId => renumbered.get(id)!;
  return {
    values: ids.map((id) => graph.values[id]),
    constants: new Map(
      [...graph.constants].filter(([id]) => needed.has(id)).map(([id, c]) => [at(id), c]),
    ),
    inputs: graph.inputs.map(({ name, value }) => ({ name, value: at(value) })),
    outputs: graph.outputs.map(({ name, value }) => ({ name, value: at(value) })),
    nodes: kept.reverse().map((node) => ({
      ...node,
      inputs: Object.fromEntries(Object.entries(node.inputs).map(([k, id]) => [k, at(id)])),
      outputs: node.outputs.map(at),
    })),
  };
}
