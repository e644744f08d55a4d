// A graph for any number and size of pictures: traced at two sizes, of which only the extents of
// inputs and outputs may differ. What differs there is left open.

import type { GraphPort, StepGraph } from '../trace/step-graph.js';

/** A graph, and which axes of its inputs and outputs are open, by their names. */
export interface OpenGraph {
  readonly graph: StepGraph;
  /** The same function at the other size: lowerings compare what they make of both. */
  readonly other: StepGraph;
  readonly openAxes: Readonly<Record<string, readonly number[]>>;
}

/** Compares two traces of one function at sizes without an extent in common. */
export function openSizes(graph: StepGraph, other: StepGraph): OpenGraph {
  if (fingerprint(graph) !== fingerprint(other))
    throw new Error('the graph depends on the size of its input: it cannot be exported');
  const ports = [...graph.inputs, ...graph.outputs];
  const otherPorts = [...other.inputs, ...other.outputs];
  return {
    graph,
    other,
    openAxes: Object.fromEntries(
      ports.map((port, i) => [
        port.name,
        differingAxes(shapeOf(graph, port), shapeOf(other, otherPorts[i])),
      ]),
    ),
  };
}

/** Everything a graph computes, except the shapes that flow through it. */
function fingerprint({ inputs, outputs, nodes, constants, values }: StepGraph): string {
  const known = [...constants].map(([id, constant]) => [id, constant, values[id]]);
  return JSON.stringify([inputs, outputs, nodes, known]);
}

function shapeOf(graph: StepGraph, { value }: GraphPort): readonly number[] {
  return graph.values[value].shape;
}

function differingAxes(a: readonly number[], b: readonly number[]): number[] {
  return a.flatMap((extent, axis) => (extent === b[axis] ? [] : [axis]));
}
