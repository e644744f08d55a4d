// Loads TensorFlow through the stock packages @tensorflow/tfjs-node-gpu or @tensorflow/tfjs-node,
// which are there only when the operator has set them up. An error about what is missing names the
// command that mends it.

import { createRequire } from 'node:module';
import { isMainThread } from 'node:worker_threads';
import { setNativeEnvironment } from '../../../shared/environment.js';
import { OperatorError } from '../../../shared/problems.js';
import { registerGradients } from '../../../task/ops/gradients.js';
import type { EngineOptions } from '../engine.js';
import {
  driverLibrary,
  findAddon,
  libraryFolder,
  missingCudaLibraries,
  setupScript,
} from './addon.js';

/** What TF.js calls the backend of these packages. */
export const backendName = 'tensorflow';

// What Lockstep calls of tfjs-node's addon (4.22, src/tfjs_binding.ts) and of TF.js's backend.

/** A tensor that lives in TensorFlow; `id` is a handle that must be deleted. */
export interface NativeTensor {
  readonly id: number;
  readonly shape: readonly number[];
  readonly dtype: number;
}

/** The addon's `binding` object. */
export interface TensorflowBinding {
  readonly TF_Version: string;
  readonly TF_FLOAT: number;
  readonly TF_INT32: number;
  /**
   * A tensor over the array's memory where that lies on 64 bytes, else over a copy of it: so no
   * array may be changed before its tensor is deleted.
   */
  createTensor(shape: readonly number[], dtype: number, values: Float32Array | Int32Array): number;
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
interface TensorflowBackend {
  readonly binding: TensorflowBinding;
  /** Native tensors that are alive. */
  getNumOfTFTensors(): number;
}

interface LoadedTensorflow {
  readonly binding: TensorflowBinding;
  readonly backend: TensorflowBackend;
  /** What changes the bytes, less the engine's name: "2.21.0/cpu/threads=1", "2.21.0/cuda". */
  readonly fingerprint: string;
}

const require = createRequire(import.meta.url);
let loaded: (LoadedTensorflow & { readonly asked: string }) | undefined;

/**
 * Loads TensorFlow, once a process and with its threads for good; throws OperatorError when the
 * machine lacks something, or when a GPU is asked for and TensorFlow finds none.
 */
export function loadTensorflow(options: EngineOptions): LoadedTensorflow {
  const { threads, provider, precision = 'float32' } = options;
  const asked = `${threads} threads, ${provider ?? 'any provider'}, ${precision}`;
  if (loaded !== undefined && loaded.asked !== asked)
    throw new Error(`TensorFlow was loaded for ${loaded.asked}, and now ${asked} are asked for`);
  if (loaded !== undefined) return loaded;
  if (!isMainThread) throw new Error('TensorFlow is loaded by the main thread only');
  requireUsable(options);
  setNativeEnvironment(nativeVariables(options));
  const backend = requireBackend();
  const { binding } = backend;
  const isGpu = binding.isUsingGpuDevice();
  if (provider === 'cuda' && !isGpu) throw withoutGpu();
  if (precision === 'tf32' && !isGpu) throw withoutTensorFloats();
  const version = binding.TF_Version;
  const onGpu = precision === 'float32' ? `${version}/cuda` : `${version}/cuda/${precision}`;
  const fingerprint = isGpu ? onGpu : `${version}/cpu/threads=${threads}`;
  loaded = { binding, backend, fingerprint, asked };
  return loaded;
}

/** Read by TensorFlow while it loads; those that change bytes are not left to the operator. */
function nativeVariables({ threads, provider, precision }: EngineOptions) {
  return {
    forced: {
      TF_NUM_INTRAOP_THREADS: String(threads),
      TF_NUM_INTEROP_THREADS: '1',
      OMP_NUM_THREADS: String(threads),
      TF_DETERMINISTIC_OPS: '1',
      TF_ENABLE_ONEDNN_OPTS: '1',
      // Of cuBLAS and cuDNN: TensorFlow lets them round to TF32 unless this forbids it.
      NVIDIA_TF32_OVERRIDE: precision === 'tf32' ? '1' : '0',
      ...(provider === 'cpu' ? { CUDA_VISIBLE_DEVICES: '-1' } : {}),
    },
    defaults: { TF_CPP_MIN_LOG_LEVEL: '2', TF_FORCE_GPU_ALLOW_GROWTH: 'true' },
  };
}

function requireBackend(): TensorflowBackend {
  const { name } = findAddon();
  supplyRemovedFunctions();
  try {
    const tf = require(name) as { findBackend(name: string): unknown };
    registerGradients();
    return tf.findBackend(backendName) as TensorflowBackend;
  } catch (error) {
    throw new OperatorError('TensorFlow can not be loaded', [
      {
        key: name,
        given: (error as Error).message,
        allowed: 'an addon and a TensorFlow library that load',
        hint: `set it up anew: ${setupScript} -- --force`,
      },
    ]);
  }
}

/** tfjs-node 4.22 calls functions of `util` that Node 23 no longer has. */
function supplyRemovedFunctions(): void {
  const util = require('node:util') as Record<string, unknown>;
  util['isNullOrUndefined'] ??= (value: unknown) => value === null || value === undefined;
  util['isArray'] ??= Array.isArray;
}

function requireUsable({ profile }: EngineOptions): void {
  if (profile === undefined) return;
  throw new OperatorError('the TensorFlow engine can not do this', [
    { key: '--profile', given: profile, allowed: 'nothing: it can not profile' },
  ]);
}

function withoutGpu(): OperatorError {
  const missing = missingCudaLibraries(libraryFolder(findAddon()));
  const isOnlyDriver = missing.join() === driverLibrary;
  return new OperatorError('TensorFlow finds no GPU, and one was asked for', [
    missing.length === 0
      ? {
          key: 'GPU',
          given: undefined,
          allowed: 'an NVIDIA GPU that TensorFlow can use',
          hint: 'see nvidia-smi and CUDA_VISIBLE_DEVICES; TF_CPP_MIN_LOG_LEVEL=0 shows why',
        }
      : {
          key: 'CUDA libraries',
          given: `without ${missing.join(', ')}`,
          allowed: 'CUDA 12 and cuDNN 9 where the TensorFlow library finds them',
          hint: isOnlyDriver ? "NVIDIA's driver is not installed" : `${setupScript} -- --gpu`,
        },
  ]);
}

function withoutTensorFloats(): OperatorError {
  return new OperatorError('TensorFlow finds no GPU, and TF32 is a format of GPUs', [
    { key: 'engine.precision', given: 'tf32', allowed: 'float32 on the CPU' },
  ]);
}
