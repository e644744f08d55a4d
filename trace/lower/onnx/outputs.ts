// Gives the outputs their names. A copy at the end of the graph would cost a pass over every
// gradient, so the node that makes an output writes it under its name wherever that is possible.

import type { OnnxNode, OnnxPort } from './proto.js';

/** An output of the model and the value inside that it is. */
export interface OutputValue extends OnnxPort {
  readonly value: string;
}

/** Nodes in which the outputs' values have the outputs' names, and the ports for them. */
export function nameOutputs(
  nodes: readonly OnnxNode[],
  results: readonly OutputValue[],
  mayReshape: boolean,
): { nodes: OnnxNode[]; outputs: OnnxPort[] } {
  const producers = new Map(nodes.flatMap((node) => node.outputs.map((name) => [name, node])));
  const names = new Map<string, string>();
  const copies: OnnxNode[] = [];
  const outputs = results.map(({ name, dims, type, value }): OnnxPort => {
    const source = mayReshape ? beforeReshapes(value, producers) : value;
    if (producers.has(source) && !names.has(source)) names.set(source, name);
    else copies.push({ op: 'Identity', domain: '', inputs: [source], outputs: [name], attrs: {} });
    return { name, dims: source === value ? dims : undefined, type };
  });
  const rename = (name: string) => names.get(name) ?? name;
  const renamed = [...nodes, ...copies].map((node) => ({
    ...node,
    inputs: node.inputs.map(rename),
    outputs: node.outputs.map(rename),
  }));
  return { nodes: renamed, outputs };
}

/** What a value was before it was only seen under other shapes; stops at inputs and constants. */
function beforeReshapes(value: string, producers: ReadonlyMap<string, OnnxNode>): string {
  let source = value;
  for (let node = producers.get(source); node?.op === 'Reshape'; node = producers.get(source)) {
    if (!producers.has(node.inputs[0])) return source;
    source = node.inputs[0];
  }
  return source;
}
