// Everything that a worker needs before its first world: task, memory, data, graph. Built once in a
// worker's life; worlds come and go above it.

import { readDatasetIndex } from '../../dataset/dataset-index.js';
import { splitSamples } from '../../dataset/samples.js';
import type { Log } from '../../shared/log.js';
import type { DeviceCount } from '../../shared/spec/engines.js';
import { exchangeOf, exchangeParts } from '../../shared/spec/exchange.js';
import { parseRunRecord } from '../../shared/spec/record.js';
import type { RunSpec } from '../../shared/spec/schema.js';
import { cloneableOptions, openStore, type StoreOptions } from '../../shared/store/open-store.js';
import { readFrozenInputs } from '../../shared/weights/feature-weights.js';
import { createSrganTask } from '../../task/srgan/task.js';
import type { Task } from '../../task/task.js';
import { createLoader, type Loader } from '../data/loader.js';
import { createEngine } from '../engine/create-engine.js';
import type { Provider } from '../engine/engine.js';
import type { VectorLengths } from '../exchange/core/world.js';
import { ExchangeMemory, type Place } from '../exchange/memory.js';
import type { ToCompute, ToNetwork, WorldVectors } from '../network/ports.js';
import { createEvaluations, createSaver, type Evaluations, type Saver } from './checkpoints.js';
import { createHoldableState } from './held-state.js';
import { createPhases, type Phases } from './phase.js';
import { LocalState, openState } from './state.js';
import { createStepPlans, isFactored, longestVectors } from './step-plan.js';
import { createWorkspace, type Workspace } from './step-vectors.js';

/** What the network thread asks the compute thread to prepare. */
export type PrepareOrder = ToCompute & { readonly kind: 'prepare' };

/** Sends a message to the network thread; the buffers in `transfer` are moved there. */
export type SendToNetwork = (message: ToNetwork, transfer?: readonly ArrayBuffer[]) => void;

export interface PrepareOptions {
  readonly storeOptions: StoreOptions;
  readonly cacheMib: number;
  /** Threads of the engine at most: the spec may ask for more than this machine has. */
  readonly maxThreads: number;
  /** What the engine is to compute with; undefined: its own choice. */
  readonly provider: Provider | undefined;
  /** Devices that it drives. */
  readonly devices: DeviceCount;
  readonly send: SendToNetwork;
  readonly log: Log;
  /** Prints something for the operator that does not end the run. */
  readonly warn: (text: string) => void;
}

/** A worker that is ready for its first world. */
export interface PreparedRun {
  /** The run's id. */
  readonly run: string;
  readonly spec: RunSpec;
  /** What it computes with, as far as that changes the bytes. */
  readonly fingerprint: string;
  /** Devices that compute its micro-shards side by side. */
  readonly devices: number;
  readonly task: Task;
  readonly local: LocalState;
  readonly phases: Phases;
  readonly loader: Loader;
  readonly takeVectors: VectorPool;
  readonly workspace: Workspace;
  readonly saver: Saver;
  /** Started when first asked for. Undefined: no faces are held out. */
  evaluations(): Evaluations | undefined;
  close(): Promise<void>;
}

/** Micro-shards that the loader prepares ahead of each device. */
const aheadPerDevice = 4;

/** Prepares a worker for a run; an OperatorError says what in spec or data does not fit. */
export async function prepare(
  { runUrl, record }: PrepareOrder,
  options: PrepareOptions,
): Promise<PreparedRun> {
  const { storeOptions, send } = options;
  const setup = { runUrl, storeOptions: cloneableOptions(storeOptions) };
  const { run, spec } = parseRunRecord(record);
  const task = createSrganTask(spec);
  const store = openStore(runUrl, storeOptions);
  const open = (step: number) => openState(task, spec, store, step, storeOptions);
  // On TensorFlow another number of threads gives other bytes: there it is the spec's.
  const threads =
    spec.engine.name === 'onnx'
      ? Math.min(spec.engine.threads, options.maxThreads)
      : spec.engine.threads;
  const engine = await createEngine(spec.engine.name, {
    ...{ threads, precision: spec.engine.precision },
    ...{ provider: options.provider, devices: options.devices },
    ...{ executables: store, log: options.log, warn: options.warn },
  });
  const { loader, hasFaces } = await openData(spec, engine.devices, options);
  const state = createHoldableState(await engine.createState(task.networks));
  const local = new LocalState(task.networks, state, open, send);
  const wanted = spec.phases.flatMap(({ name }) => task.step(name).frozen);
  const frozen = await readFrozenInputs(spec, wanted, storeOptions);
  const plans = createStepPlans(task, spec);
  const phases = createPhases(task, spec, state, frozen, plans);
  const saver = createSaver(task.networks, state, setup, send);
  const memory = new ExchangeMemory();
  const lengths = longestVectors(plans);
  let evaluations: Evaluations | undefined;
  return {
    ...{ run, spec },
    fingerprint: [engine.fingerprint, ...exchangeParts(spec, isFactored(plans))].join('/'),
    devices: engine.devices,
    task,
    local,
    phases,
    loader,
    takeVectors: createVectorPool(memory, spec, lengths),
    workspace: createWorkspace(memory, lengths.contributionBytes),
    saver,
    evaluations: () => {
      if (!hasFaces) return undefined;
      return (evaluations ??= createEvaluations({ ...setup, spec, threads }, options));
    },
    close: async () => {
      await Promise.all([loader.close(), saver.close(), evaluations?.close(), phases.close()]);
      await state.close();
      await engine.close();
      await store.close();
    },
  };
}

/** The loader of the pictures that train; `hasFaces`: others are held out. */
async function openData(
  spec: RunSpec,
  devices: number,
  options: PrepareOptions,
): Promise<{ readonly loader: Loader; readonly hasFaces: boolean }> {
  const { seed, dataset, batch } = spec;
  const store = openStore(dataset.url, options.storeOptions);
  const { index } = await readDatasetIndex(store, dataset.indexSha256);
  await store.close();
  const { train: samples, test } = splitSamples(index, dataset.testFraction, dataset.splitBy);
  const { microShards, size: microShardSize } = batch;
  const loader = createLoader({
    ...dataset,
    storeUrl: dataset.url,
    storeOptions: options.storeOptions,
    index,
    samples,
    order: { seed, samples: samples.length, microShards, microShardSize },
    seed,
    cacheMib: options.cacheMib,
    threads: 1,
    aheadMicroShards: devices * aheadPerDevice,
    onNotice: options.warn,
  });
  return { loader, hasFaces: test.length > 0 };
}

/** Gives the vectors for a world in which this rank contributes so many subtrees. */
type VectorPool = (subtrees: number, worldSize: number) => WorldVectors;

/**
 * A pool of vectors in a memory that the worker's threads share. Worlds come and go, and take
 * theirs from it; it only grows, when a world needs more than any before.
 */
export function createVectorPool(
  memory: ExchangeMemory,
  spec: RunSpec,
  lengths: VectorLengths,
): VectorPool {
  const results: Place[] = [];
  const sums: Place[] = [];
  const result = (i: number): Place => (results[i] ??= memory.allocate(lengths.resultBytes));
  const sum = (i: number): Place => (sums[i] ??= memory.allocate(lengths.contributionBytes));
  const { precision } = exchangeOf(spec);
  const { microShards } = spec.batch;
  return (subtrees, worldSize) => ({
    ...{ memory: memory.shared, microShards, precision, ...lengths },
    contributions: Array.from({ length: subtrees }, (_, i) => sum(i)),
    // The second result is for peers that still pull the step before: alone, there are none.
    results: [result(0), result(worldSize === 1 ? 0 : 1)],
  });
}
