// Writes an ONNX graph down node by node. The same node with the same inputs is written once.

import { createHash } from 'node:crypto';
import type { OnnxAttributes, OnnxInitializer, OnnxNode, OnnxType } from './proto.js';

/** The domain of ONNX Runtime's own operators. */
export const microsoft = 'com.microsoft';

const arrays = { float32: Float32Array, int32: Int32Array, int64: BigInt64Array, bool: Uint8Array };

export class OnnxBuilder {
  readonly nodes: OnnxNode[] = [];
  readonly initializers: OnnxInitializer[] = [];
  private readonly known = new Map<string, string>();
  private count = 0;

  /** `forRuntime`: may use ONNX Runtime's own operators where ONNX has none as good. */
  constructor(readonly forRuntime: boolean) {}

  /** Writes an operator and returns the name of its output. */
  emit(op: string, inputs: readonly string[], attrs: OnnxAttributes = {}, domain = ''): string {
    return this.once(JSON.stringify([op, domain, inputs, attrs]), 'v', (name) =>
      this.nodes.push({ op, domain, inputs, output: name, attrs }),
    );
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
    return this.once(key, 'c', (name) => this.initializers.push({ name, dims, type, bytes }));
  }

  /** A constant vector of int64, as shapes, axes and slices need. */
  int64(values: readonly number[]): string {
    return this.constant([values.length], 'int64', values);
  }

  private once(key: string, prefix: string, write: (name: string) => void): string {
    const earlier = this.known.get(key);
    if (earlier !== undefined) return earlier;
    const name = `${prefix}${this.count++}`;
    this.known.set(key, name);
    write(name);
    return name;
  }
}
