// What Lockstep calls of TensorFlow through tfjs-node's addon: the members of its `binding` object
// (tfjs-node 4.22, src/tfjs_binding.ts) and of the TF.js backend that holds it.

/** A tensor that lives in TensorFlow; `id` is a handle that must be deleted. */
export interface NativeTensor {
  readonly id: number;
  readonly shape: readonly number[];
  readonly dtype: number;
}

export interface TensorflowBinding {
  readonly TF_Version: string;
  readonly TF_FLOAT: number;
  /**
   * A tensor over the array's memory where that lies on 64 bytes, else over a copy of it: so no
   * array may be changed before its tensor is deleted.
   */
  createTensor(shape: readonly number[], dtype: number, values: Float32Array): number;
  deleteTensor(id: number): void;
  /** A copy of the tensor's values. */
  tensorDataSync(id: number): Float32Array;
  /** Loads a saved model by tag; gives a handle. */
  loadSavedModel(folder: string, tag: string): number;
  deleteSavedModel(id: number): void;
  /** Runs a loaded graph; names are "node:output" with commas between them. */
  runSavedModel(
    id: number,
    inputs: readonly number[],
    inputNames: string,
    outputNames: string,
  ): readonly NativeTensor[];
  /** TensorFlow has found a GPU and will use it. */
  isUsingGpuDevice(): boolean;
}

/** TF.js's backend 'tensorflow'. */
export interface TensorflowBackend {
  readonly binding: TensorflowBinding;
  /** Native tensors that are alive. */
  getNumOfTFTensors(): number;
}
