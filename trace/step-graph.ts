// The step graph: a traced TF.js function as plain data. Kernels are TF.js's own (plus the ones
// that a task adds); shapes are static and logical (pixels NHWC, filters HWIO).

export type DType = 'float32' | 'int32' | 'bool';

/** Index into `StepGraph.values`. */
export type ValueId = number;

/** A tensor that flows through the graph. */
export interface GraphValue {
  readonly shape: readonly number[];
  readonly dtype: DType;
}

/** Constant values: `fill` for a tensor of one number, `data` otherwise. */
export type GraphConstant =
  | { readonly kind: 'fill'; readonly value: number }
  | { readonly kind: 'data'; readonly data: Float32Array | Int32Array | Uint8Array };

/** One kernel call. `inputs` are by TF.js's own input names, in the order of the kernel. */
export interface GraphNode {
  readonly kernel: string;
  readonly inputs: Readonly<Record<string, ValueId>>;
  readonly outputs: readonly ValueId[];
  readonly attrs: Readonly<Record<string, unknown>>;
}

/** A named input or output. */
export interface GraphPort {
  readonly name: string;
  readonly value: ValueId;
}

/** Nodes are in an order in which every input comes before its use. */
export interface StepGraph {
  readonly values: readonly GraphValue[];
  readonly constants: ReadonlyMap<ValueId, GraphConstant>;
  readonly inputs: readonly GraphPort[];
  readonly outputs: readonly GraphPort[];
  readonly nodes: readonly GraphNode[];
}

/** Attributes of the convolution kernels, resolved: no 'same' or 'valid' is left. */
export interface ConvAttributes {
  /** [height, width] */
  readonly strides: readonly [number, number];
  readonly dilations: readonly [number, number];
  /** [top, left, bottom, right] */
  readonly padding: readonly [number, number, number, number];
}

/** Whether two shapes, or other lists of numbers, are the same. */
export function equalShapes(a: readonly number[], b: readonly number[]): boolean {
  return a.length === b.length && a.every((extent, i) => extent === b[i]);
}

/** A kernel that the trace or an engine's lowering does not know. */
export class UnknownKernel extends Error {
  constructor(
    readonly kernel: string,
    /** "recording: add one under trace/record" */
    lacking: string,
    options?: ErrorOptions,
  ) {
    super(`kernel ${kernel} has no ${lacking}`, options);
    this.name = 'UnknownKernel';
  }
}
