// Writes a GraphDef down node by node. The same node with the same inputs is written once.

import type { DType, GraphConstant } from '../../step-graph.js';
import {
  tensorShape,
  typeAttr,
  typeName,
  type AttrValue,
  type NodeDef,
  type TensorProto,
} from './node-def.js';

export type Attributes = Readonly<Record<string, AttrValue>>;

export class GraphDefBuilder {
  readonly nodes: NodeDef[] = [];
  private readonly known = new Map<string, string>();

  /**
   * Writes an operation whose attribute T is `dtype` (null: it has none) and returns the name of
   * its first output; output i is `name:i`.
   */
  op(
    op: string,
    input: readonly string[],
    attr: Attributes = {},
    dtype: DType | null = 'float32',
  ): string {
    return this.node({ op, input, attr: dtype === null ? attr : { T: typeAttr(dtype), ...attr } });
  }

  /** A placeholder, which the caller feeds. */
  placeholder(name: string, shape: readonly number[], dtype: DType): string {
    const attr = { dtype: typeAttr(dtype), shape: { shape: tensorShape(shape) } };
    this.nodes.push({ name, op: 'Placeholder', attr });
    return name;
  }

  /** A constant of a step graph. */
  constant(shape: readonly number[], dtype: DType, constant: GraphConstant): string {
    const content =
      constant.kind === 'fill' ? filling(dtype, constant.value) : contentOf(constant.data);
    const tensor = { dtype: typeName(dtype), tensorShape: tensorShape(shape), ...content };
    return this.node({ op: 'Const', attr: { dtype: typeAttr(dtype), value: { tensor } } });
  }

  /** One number, without axes. */
  scalar(value: number, dtype: DType = 'float32'): string {
    return this.constant([], dtype, { kind: 'fill', value });
  }

  /** Small integers that TensorFlow wants as an input: a shape, axes, paddings. */
  integers(values: readonly number[], shape: readonly number[] = [values.length]): string {
    return this.constant(shape, 'int32', { kind: 'data', data: Int32Array.from(values) });
  }

  private node(node: Omit<NodeDef, 'name'>): string {
    const key = JSON.stringify(node);
    const earlier = this.known.get(key);
    if (earlier !== undefined) return earlier;
    const name = `${node.op}_${this.nodes.length}`;
    this.known.set(key, name);
    this.nodes.push({ name, ...node });
    return name;
  }
}

type TensorContent = Omit<TensorProto, 'dtype' | 'tensorShape'>;

function filling(dtype: DType, value: number): TensorContent {
  if (dtype === 'float32') return { floatVal: [value] };
  return dtype === 'int32' ? { intVal: [value] } : { boolVal: [value !== 0] };
}

function contentOf(data: Float32Array | Int32Array | Uint8Array): TensorContent {
  const bytes = Buffer.from(data.buffer, data.byteOffset, data.byteLength);
  return { tensorContent: bytes.toString('base64') };
}
