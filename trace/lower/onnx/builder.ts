// Writes an ONNX graph down node by node. The same node with the same inputs is written once, and
// what no output needs is dropped at the end.

import { createHash } from 'node:crypto';
import type { OnnxAttribute, OnnxInitializer, OnnxNode, OnnxType } from './proto.js';

export interface EmitOptions {
  /** Domain of the operator; '' (ONNX's own) when left out. */
  readonly domain?: string;
  /** How many outputs; 1 when left out. */
  readonly outputs?: number;
}

export type Attributes = Readonly<Record<string, OnnxAttribute>>;

/** The domain of ONNX Runtime's own operators. */
export const microsoft = 'com.microsoft';

const arrays = { float32: Float32Array, int32: Int32Array, int64: BigInt64Array, bool: Uint8Array };

export interface BuilderOptions {
  /** May use ONNX Runtime's own operators where ONNX has none as good. */
  readonly forRuntime: boolean;
}

export class OnnxBuilder {
  readonly nodes: OnnxNode[] = [];
  readonly initializers: OnnxInitializer[] = [];
  private readonly known = new Map<string, readonly string[]>();
  private count = 0;

  constructor(readonly options: BuilderOptions) {}

  /** Writes an operator with one output and returns the output's name. */
  emit(op: string, inputs: readonly string[], attrs: Attributes = {}, domain = ''): string {
    return this.emitAll(op, inputs, attrs, { domain, outputs: 1 })[0];
  }

  /** Writes an operator and returns the names of its outputs. */
  emitAll(
    op: string,
    inputs: readonly string[],
    attrs: Attributes,
    { domain = '', outputs = 1 }: EmitOptions,
  ): readonly string[] {
    const key = JSON.stringify([op, domain, inputs, attrs]);
    const earlier = this.known.get(key);
    if (earlier) return earlier;
    const names = Array.from({ length: outputs }, () => `v${this.count++}`);
    this.known.set(key, names);
    this.nodes.push({ op, domain, inputs, outputs: names, attrs });
    return names;
  }

  /** A constant tensor; the same content twice is stored once. */
  constant(dims: readonly number[], type: OnnxType, values: ArrayLike<number>): string {
    const data =
      type === 'int64'
        ? BigInt64Array.from(Array.from(values), (value) => BigInt(value))
        : arrays[type].from(values);
    const bytes = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
    const sum = createHash('sha256').update(bytes).digest('hex');
    const key = `constant ${type} ${dims.join('x')} ${sum}`;
    const earlier = this.known.get(key);
    if (earlier) return earlier[0];
    const name = `c${this.count++}`;
    this.known.set(key, [name]);
    this.initializers.push({ name, dims, type, bytes });
    return name;
  }

  /** A constant vector of int64, as shapes, axes and slices need. */
  int64(values: readonly number[]): string {
    return this.constant([values.length], 'int64', values);
  }

  /** The node that writes `name`, if one does. */
  producer(name: string): OnnxNode | undefined {
    return this.nodes.find((node) => node.outputs.includes(name));
  }
}

/** The nodes and initializers that the named values need. */
export function neededBy(
  names: readonly string[],
  nodes: readonly OnnxNode[],
  initializers: readonly OnnxInitializer[],
): { nodes: OnnxNode[]; initializers: OnnxInitializer[] } {
  const needed = new Set(names);
  const kept: OnnxNode[] = [];
  for (const node of [...nodes].reverse()) {
    if (!node.outputs.some((name) => needed.has(name))) continue;
    kept.push(node);
    node.inputs.forEach((name) => needed.add(name));
  }
  return {
    nodes: kept.reverse(),
    initializers: initializers.filter(({ name }) => needed.has(name)),
  };
}
