// Models for any size of picture. A trace knows one size only; whether the model depends on it
// shows when the same function is traced at another: both must lower to the same nodes.

import { isDeepStrictEqual } from 'node:util';
import type { StepGraph } from '../../step-graph.js';
import { lowerToModel, type LowerOptions } from './lower.js';
import { encodeModel, type OnnxModel } from './proto.js';

export interface DynamicOptions {
  /** As for `lowerToOnnx`. */
  readonly embed?: LowerOptions['embed'];
  /** Names of the open dimensions by port: texts where the two traces may differ. */
  readonly symbolicDims: NonNullable<LowerOptions['symbolicDims']>;
}

/**
 * Lowers a function traced at two sizes to one ONNX model with open dimensions. Throws, naming
 * the node, when the function needs its input's size for more than its ports.
 */
export function lowerDynamic(
  one: StepGraph,
  other: StepGraph,
  options: DynamicOptions,
): Uint8Array {
  const [model, second] = [lowerToModel(one, options), lowerToModel(other, options)];
  const difference = firstDifference(model, second);
  if (difference !== undefined)
    throw new Error(`the model depends on the size of its input: ${difference}`);
  return encodeModel(model);
}

function firstDifference(a: OnnxModel, b: OnnxModel): string | undefined {
  if (!isDeepStrictEqual(a.inputs, b.inputs) || !isDeepStrictEqual(a.outputs, b.outputs))
    return 'its ports differ beyond the open dimensions';
  const count = Math.max(a.nodes.length, b.nodes.length);
  for (let i = 0; i < count; i++)
    if (!isDeepStrictEqual(a.nodes[i], b.nodes[i])) return `node ${i}, ${a.nodes[i]?.op ?? 'none'}`;
  const at = a.initializers.findIndex((each, i) => !isDeepStrictEqual(each, b.initializers[i]));
  if (at < 0) return undefined;
  const { name } = a.initializers[at];
  const user = a.nodes.find(({ inputs }) => inputs.includes(name));
  return `a constant of ${user?.op ?? 'the output'}`;
}
