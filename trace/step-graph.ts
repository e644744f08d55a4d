// The step graph: what a traced TF.js function is, as plain data. Kernels are TF.js's own (plus
// the high-level ones a task registers, kept whole); shapes are static and logical (NHWC, HWIO).
// It knows nothing of any engine: each engine lowers it.

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
