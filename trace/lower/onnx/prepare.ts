// Rewritings of the step graph that suit ONNX: kernels that are cheaper together, or another way
// when their neighbours are there. The new kernels have lowerings here and are no TF.js kernels.

import type { GraphNode, StepGraph, ValueId } from '../../step-graph.js';

/** The graph as ONNX's lowerings like it best. */
export function prepareForOnnx(graph: StepGraph): StepGraph {
  return markTrainedPrelus(fuseBiases(graph));
}

/** Prelu becomes PreluWithGradient where the same graph takes its gradient. */
function markTrainedPrelus(graph: StepGraph): StepGraph {
  const trained = new Set(
    graph.nodes.filter(({ kernel }) => kernel === 'PreluGradX').map(({ inputs }) => inputs['x']),
  );
  const isTrained = ({ kernel, inputs }: GraphNode) =>
    kernel === 'Prelu' && trained.has(inputs['x']);
  const nodes = graph.nodes.map((node) =>
    isTrained(node) ? { ...node, kernel: 'PreluWithGradient' } : node,
  );
  return { ...graph, nodes };
}

/**
 * A bias that is added to a convolution's output, and nowhere else used, becomes the
 * convolution's own: Conv2D with a third input `bias`.
 */
function fuseBiases(graph: StepGraph): StepGraph {
  const uses = countUses(graph);
  const convolutions = new Map<ValueId, GraphNode>();
  const fused = new Map<GraphNode, GraphNode>();
  const absorbed = new Set<GraphNode>();
  for (const node of graph.nodes) {
    if (node.kernel === 'Conv2D') convolutions.set(node.outputs[0], node);
    if (node.kernel !== 'Add') continue;
    const { a, b } = node.inputs as { a: ValueId; b: ValueId };
    const [sum, bias] = convolutions.has(a) ? [a, b] : [b, a];
    const convolution = convolutions.get(sum);
    if (convolution === undefined || uses.get(sum) !== 1) continue;
    const channels = graph.values[sum].shape[3];
    const { shape } = graph.values[bias];
    if (shape.length !== 1 || shape[0] !== channels) continue;
    const inputs = { ...convolution.inputs, bias };
    fused.set(node, { ...convolution, inputs, outputs: node.outputs });
    absorbed.add(convolution);
  }
  const nodes = graph.nodes.filter((node) => !absorbed.has(node));
  return { ...graph, nodes: nodes.map((node) => fused.get(node) ?? node) };
}

function countUses(graph: StepGraph): Map<ValueId, number> {
  const uses = new Map<ValueId, number>();
  const count = (id: ValueId) => uses.set(id, (uses.get(id) ?? 0) + 1);
  graph.nodes.forEach((node) => Object.values(node.inputs).forEach(count));
  graph.outputs.forEach(({ value }) => count(value));
  return uses;
}
