// A TF.js backend that records kernels instead of running them. Tensors on it are numbers of
// graph values; nothing is ever computed, so nothing can be read.

import * as tf from '@tensorflow/tfjs-core';
import type { DType, GraphConstant, GraphNode, GraphValue, ValueId } from '../step-graph.js';
import { recordings, type RawAttributes } from './kernels.js';

/** The name under which the recording backend is registered in TF.js. */
export const traceBackendName = 'lockstep-trace';

/** A graph that is being written down. */
export interface GraphDraft {
  readonly values: GraphValue[];
  readonly constants: Map<ValueId, GraphConstant>;
  readonly nodes: GraphNode[];
}

class RecordingBackend extends tf.KernelBackend {
  private draft: GraphDraft = { values: [], constants: new Map(), nodes: [] };
  private data = new tf.DataStorage<ValueId>(this, tf.engine());

  /** Forgets everything recorded so far and writes into `draft` from now on. */
  begin(draft: GraphDraft): void {
    this.draft = draft;
    this.data = new tf.DataStorage<ValueId>(this, tf.engine());
  }

  /** A new tensor for a value that nothing has written yet. */
  place(value: GraphValue): tf.TensorInfo {
    const dataId = {};
    this.data.set(dataId, this.draft.values.push(value) - 1);
    return { dataId, shape: [...value.shape], dtype: value.dtype };
  }

  idOf(tensor: tf.TensorInfo): ValueId {
    return this.data.get(tensor.dataId);
  }

  record(kernel: string, tensors: tf.NamedTensorInfoMap, attrs: RawAttributes): tf.TensorInfo[] {
    const ids = Object.entries(tensors).flatMap(([name, tensor]) =>
      tensor ? [[name, this.viewed(tensor)] as const] : [],
    );
    const shapes = ids.map(([name, id]) => [name, this.draft.values[id]] as const);
    const { outputs, attrs: own } = recordings[kernel](Object.fromEntries(shapes), attrs);
    const placed = outputs.map((output) => this.place(output));
    const inputs = Object.fromEntries(ids);
    const written = placed.map((tensor) => this.idOf(tensor));
    this.draft.nodes.push({ kernel, inputs, outputs: written, attrs: own ?? {} });
    return placed;
  }

  /** The value of a tensor; TF.js may show one under another shape without a kernel. */
  private viewed(tensor: tf.TensorInfo): ValueId {
    const id = this.idOf(tensor);
    const { shape, dtype } = this.draft.values[id];
    if (tf.util.arraysEqual([...shape], tensor.shape)) return id;
    const view = this.draft.values.push({ shape: [...tensor.shape], dtype }) - 1;
    this.draft.nodes.push({ kernel: 'Reshape', inputs: { x: id }, outputs: [view], attrs: {} });
    return view;
  }

  override write(values: tf.BackendValues, shape: number[], dtype: tf.DataType): tf.DataId {
    const dataId = {};
    this.move(dataId, values, shape, dtype);
    return dataId;
  }

  override move(
    id: tf.DataId,
    values: tf.BackendValues,
    shape: number[],
    dtype: tf.DataType,
  ): void {
    const value = this.draft.values.push({ shape: [...shape], dtype: dtype as DType }) - 1;
    this.draft.constants.set(value, constantOf(values as Float32Array | null));
    this.data.set(id, value);
  }

  override readSync(): never {
    throw new Error(
      'a value was read while tracing (data, dataSync, array, print, ...): the traced function ' +
        'may not depend on values, since it runs once and without any',
    );
  }

  override async read(): Promise<never> {
    return this.readSync();
  }

  override numDataIds(): number {
    return this.data.numDataIds();
  }

  // Values live as long as the draft: TF.js's counting has nothing to free here.
  override disposeData(): boolean {
    return true;
  }
  override incRef(): void {}
  override refCount(): number {
    return 1;
  }
  override memory(): { unreliable: boolean } {
    return { unreliable: true };
  }
  override epsilon(): number {
    return 1e-7;
  }
  override floatPrecision(): 32 {
    return 32;
  }
  override timerAvailable(): boolean {
    return false;
  }
  override dispose(): void {}
}

function constantOf(values: Float32Array | Int32Array | Uint8Array | null): GraphConstant {
  if (values === null) return { kind: 'fill', value: 0 };
  const first = values.length === 0 ? 0 : Number(values[0]);
  if (values.every((value: number) => Number(value) === first))
    return { kind: 'fill', value: first };
  return { kind: 'data', data: values.slice() };
}

let backend: RecordingBackend | undefined;

/** The recording backend, registered with all its kernels at its first use. */
export function recordingBackend(): RecordingBackend {
  if (backend !== undefined) return backend;
  const created = new RecordingBackend();
  tf.registerBackend(traceBackendName, () => created, 0);
  for (const kernelName of Object.keys(recordings))
    tf.registerKernel({
      kernelName,
      backendName: traceBackendName,
      kernelFunc: ({ inputs, attrs }) => {
        const placed = created.record(kernelName, inputs, attrs ?? {});
        return placed.length === 1 ? placed[0] : placed;
      },
    });
  backend = created;
  return created;
}
