// Writes StableHLO text operation by operation. The same operation on the same operands is written
// once. Values lie in TF.js's own order (NHWC, HWIO); XLA chooses layouts itself. Every type is
// written out in full, and StableHLO broadcasts nothing by itself.

import { backend_util } from '@tensorflow/tfjs-core';
import { sizeOf } from '../../../shared/layout.js';
import type { Precision } from '../../../shared/spec/schema.js';
import { equalShapes, type DType, type GraphConstant } from '../../step-graph.js';
import { broadcastAxes, type Lowering, type LoweringTable } from '../lowering.js';

/** A type of StableHLO's. */
export interface HloType {
  readonly shape: readonly number[];
  readonly dtype: DType | 'bfloat16';
}

/** A value of the module: "%12". */
export interface HloValue extends HloType {
  readonly name: string;
}

export type StablehloLowering = Lowering<StablehloBuilder, HloValue>;
export type StablehloLowerings = LoweringTable<StablehloBuilder, HloValue>;

const elementTypes = { float32: 'f32', int32: 'i32', bool: 'i1', bfloat16: 'bf16' } as const;

/** A type as text: "tensor<2x3xf32>". */
export function typeText({ shape, dtype }: HloType): string {
  return `tensor<${[...shape, elementTypes[dtype]].join('x')}>`;
}

export type Reduction = 'add' | 'maximum' | 'minimum';

/** [before, behind] for each axis. */
export type Paddings = readonly (readonly [number, number])[];

export class StablehloBuilder {
  /** Operations, one a line or, with a region, several. */
  readonly operations: string[] = [];
  private readonly known = new Map<string, HloValue>();

  /** `precision` is what convolutions and matrix products compute with; all else is float32. */
  constructor(readonly precision: Precision) {}

  /** Writes an operation: its text up to the types of `operands` and of the result. */
  write(text: string, operands: readonly HloValue[], { shape, dtype }: HloType): HloValue {
    const from = operands.map(typeText).join(', ');
    return this.line(`${text} : (${from}) -> ${typeText({ shape, dtype })}`, { shape, dtype });
  }

  /** `write` for the common form: a name, the operands and what `rest` says of them. */
  op(name: string, operands: readonly HloValue[], type: HloType, rest = ''): HloValue {
    return this.write(`stablehlo.${name} ${operandNames(operands)}${rest}`, operands, type);
  }

  /** A constant of a step graph. */
  constant({ shape, dtype }: HloType, constant: GraphConstant): HloValue {
    if (dtype === 'bool' && constant.kind === 'data') {
      const numbers = { kind: 'data', data: Int32Array.from(constant.data) } as const;
      return this.convert(this.constant({ shape, dtype: 'int32' }, numbers), 'bool');
    }
    const text = constant.kind === 'fill' ? number(constant.value, dtype) : bytes(constant.data);
    const type = { shape, dtype };
    return this.line(`stablehlo.constant dense<${text}> : ${typeText(type)}`, type);
  }

  /** A tensor of one number; without axes unless said otherwise. */
  fill(value: number, shape: readonly number[] = [], dtype: DType = 'float32'): HloValue {
    return this.constant({ shape, dtype }, { kind: 'fill', value });
  }

  /** The values as another type: floats lose their fraction, and what is not 0 is true. */
  convert(x: HloValue, dtype: HloType['dtype']): HloValue {
    return x.dtype === dtype ? x : this.op('convert', [x], { ...x, dtype });
  }

  /** The same values under another shape. */
  reshape(x: HloValue, shape: readonly number[]): HloValue {
    return equalShapes(x.shape, shape) ? x : this.op('reshape', [x], { ...x, shape });
  }

  /** `x` repeated along the axes that `shape` has before its own, and along those of extent 1. */
  broadcast(x: HloValue, shape: readonly number[]): HloValue {
    if (equalShapes(x.shape, shape)) return x;
    const axes = x.shape.map((_, axis) => shape.length - x.shape.length + axis);
    return this.op('broadcast_in_dim', [x], { ...x, shape }, `, dims = ${list(axes)}`);
  }

  /** `x` with `value` (no axes) around it, and so often `between` its values, axis by axis. */
  pad(
    x: HloValue,
    value: HloValue,
    paddings: Paddings,
    between: readonly number[] = x.shape.map(() => 0),
  ): HloValue {
    const apart = x.shape.map((extent, axis) => (extent - 1) * (between[axis] + 1) + 1);
    const shape = apart.map((extent, axis) => paddings[axis][0] + extent + paddings[axis][1]);
    const [low, high] = [0, 1].map((end) => list(paddings.map((around) => around[end])));
    const rest = `, low = ${low}, high = ${high}, interior = ${list(between)}`;
    return this.op('pad', [x, value], { ...x, shape }, rest);
  }

  /** An operation value by value, on operands that are broadcast to each other's shapes. */
  each(
    op: string,
    operands: readonly HloValue[],
    dtype: HloType['dtype'] = operands[0].dtype,
  ): HloValue {
    const equal = this.broadcastAll(operands);
    return this.op(op, equal, { shape: equal[0].shape, dtype });
  }

  /** Compares value by value: GT, GE, LT, LE, EQ or NE. */
  compare(direction: string, operands: readonly HloValue[]): HloValue {
    const equal = this.broadcastAll(operands);
    const type = { shape: equal[0].shape, dtype: 'bool' } as const;
    return this.write(`stablehlo.compare ${direction}, ${operandNames(equal)}`, equal, type);
  }

  /** `above` where x > 0, else `below`. */
  wherePositive(x: HloValue, above: HloValue, below: HloValue): HloValue {
    return this.each('select', [this.compare('GT', [x, this.fill(0)]), above, below], 'float32');
  }

  /** Reduces over axes, which are dropped. */
  reduce(op: Reduction, x: HloValue, axes: readonly number[]): HloValue {
    if (axes.length === 0) return x;
    const operands = [x, this.neutral(op, x.dtype as DType)];
    const [from, start] = operands.map(({ name }) => name);
    const text = `stablehlo.reduce(${from} init: ${start}) applies stablehlo.${op}`;
    const shape = x.shape.filter((_, axis) => !axes.includes(axis));
    return this.write(`${text} across dimensions = ${list(axes)}`, operands, { ...x, shape });
  }

  /** What changes no sum, or is never the largest or the smallest. */
  neutral(op: Reduction, dtype: DType): HloValue {
    const most = dtype === 'int32' ? 2 ** 31 - 1 : Infinity;
    const least = dtype === 'int32' ? -(2 ** 31) : -Infinity;
    return this.fill({ add: 0, maximum: least, minimum: most }[op], [], dtype);
  }

  /** The mean over axes, which are dropped. */
  mean(x: HloValue, axes: readonly number[]): HloValue {
    const count = this.fill(sizeOf(axes.map((axis) => x.shape[axis])));
    return this.each('divide', [this.reduce('add', x, axes), count]);
  }

  /** Sums over the axes along which a tensor of `shape` would be broadcast to `x`. */
  sumBroadcast(x: HloValue, shape: readonly number[]): HloValue {
    return this.reshape(this.reduce('add', x, broadcastAxes(shape, x.shape)), shape);
  }

  private broadcastAll(operands: readonly HloValue[]): HloValue[] {
    const shape = operands.reduce<number[]>(
      (all, operand) => backend_util.assertAndGetBroadcastShape(all, [...operand.shape]),
      [],
    );
    return operands.map((operand) => this.broadcast(operand, shape));
  }

  private line(text: string, type: HloType): HloValue {
    const earlier = this.known.get(text);
    if (earlier !== undefined) return earlier;
    const value = { name: `%${this.known.size}`, ...type };
    this.known.set(text, value);
    this.operations.push(`${value.name} = ${text}`);
    return value;
  }
}

/** "%1, %2" */
export function operandNames(values: readonly HloValue[]): string {
  return values.map(({ name }) => name).join(', ');
}

/** "[1, 2]" */
export function list(values: readonly (number | string)[]): string {
  return `[${values.join(', ')}]`;
}

function number(value: number, dtype: HloType['dtype']): string {
  if (dtype === 'bool') return value === 0 ? 'false' : 'true';
  if (dtype === 'int32') return String(value);
  if (Number.isFinite(value) && !Object.is(value, -0))
    return Math.fround(value)
      .toExponential()
      .replace(/^(-?\d+)e/, '$1.0e');
  const [word] = new Uint32Array(Float32Array.of(value).buffer);
  return `0x${word.toString(16).toUpperCase()}`;
}

/** Values as the bytes they have in memory, which is what `dense` takes. */
function bytes({ buffer, byteOffset, byteLength }: Float32Array | Int32Array | Uint8Array): string {
  return `"0x${Buffer.from(buffer, byteOffset, byteLength).toString('hex').toUpperCase()}"`;
}
