// Writes a GraphDef down node by node. The same node with the same inputs is written once. Values
// lie in TF.js's own order (NHWC, HWIO), so nothing is ever reordered.

import type { DType, GraphConstant, GraphValue } from '../../step-graph.js';
import { inputsOf, type Lowering, type LoweringTable } from '../lowering.js';
import {
  stringAttr,
  tensorShape,
  typeAttr,
  typeName,
  type AttrValues,
  type NodeDef,
  type TensorProto,
} from './node-def.js';

/** A tensor of the GraphDef: "node" or "node:output". */
export interface TensorRef extends GraphValue {
  readonly name: string;
}

/** Gives the names of the outputs' tensors. */
export type TensorflowLowering = Lowering<GraphDefBuilder, TensorRef, string>;
export type TensorflowLowerings = LoweringTable<GraphDefBuilder, TensorRef, string>;

export class GraphDefBuilder {
  readonly nodes: NodeDef[] = [];
  private readonly known = new Map<string, string>();

  /** `prefix` goes before the names of all nodes but variables: several graphs may be joined. */
  constructor(private readonly prefix = '') {}

  /**
   * Writes an operation whose attribute T is `dtype` (null: it has none) and returns the name of
   * its first output; output i is `name:i`.
   */
  op(
    op: string,
    input: readonly string[],
    attr: AttrValues = {},
    dtype: DType | null = 'float32',
  ): string {
    return this.node({ op, input, attr: dtype === null ? attr : { T: typeAttr(dtype), ...attr } });
  }

  /** A placeholder, which the caller feeds. */
  placeholder(port: string, shape: readonly number[], dtype: DType): string {
    const attr = { dtype: typeAttr(dtype), shape: { shape: tensorShape(shape) } };
    const name = this.prefix + port;
    this.nodes.push({ name, op: 'Placeholder', attr });
    return name;
  }

  /** The handle of a variable, float32, which the session keeps under this name. */
  variable(name: string, shape: readonly number[]): string {
    const own = { container: stringAttr(''), shared_name: stringAttr(name) };
    const attr = { dtype: typeAttr('float32'), shape: { shape: tensorShape(shape) }, ...own };
    this.nodes.push({ name, op: 'VarHandleOp', attr });
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
    const name = `${this.prefix}${node.op}_${this.nodes.length}`;
    this.known.set(key, name);
    this.nodes.push({ name, ...node });
    return name;
  }
}

/** An operation on the kernel's inputs of these names, of the type of the first. */
export function plainOp(op: string, ...names: string[]): TensorflowLowering {
  return (b, call) => {
    const operands = inputsOf(call, ...names);
    return b.op(op, namesOf(operands), {}, operands[0].dtype);
  };
}

/** The tensors as names. */
export function namesOf(tensors: readonly TensorRef[]): string[] {
  return tensors.map(({ name }) => name);
}

/** Another shape for the same values. */
export function reshaped(b: GraphDefBuilder, x: TensorRef, shape: readonly number[]): string {
  return b.op('Reshape', [x.name, b.integers(shape)], {}, x.dtype);
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
