// Everything a worker needs before its first world: task, memory, data, graph. Built here and
// nowhere else, once in a worker's life; worlds come and go above it.

import { readDatasetIndex } from '../../dataset/read-index.js';
import { splitSamples } from '../../dataset/split.js';
import type { TrainingState } from '../../shared/checkpoint/state.js';
import { parseRunRecord } from '../../shared/spec/record.js';
import type { RunSpec } from '../../shared/spec/schema.js';
import { openStore } from '../../shared/store/open-store.js';
import type { Step } from '../../shared/words.js';
import { createSrganTask } from '../../task/srgan/task.js';
import type { Task } from '../../task/task.js';
import type { Loader } from '../data/loader.js';
import { createLoader } from '../data/loader.js';
import { createEngine } from '../engine/create-engine.js';
import { createEvaluationSide, type EvaluationSide } from './evaluation-side.js';
import { openState } from './open-state.js';
import { createOwnState, type OwnState } from './own-state.js';
import type { Prepare, PrepareOptions } from './prepare-request.js';
import { createPhases, longestVector, type Phases } from './phase.js';
import { createSaver, type Saver } from './saver.js';
import { createVectorPool, type VectorPool } from './vector-pool.js';

/** A worker that is ready for its first world. */
export interface PreparedRun {
  readonly spec: RunSpec;
  /** What it computes with, as far as that changes the bytes. */
  readonly fingerprint: string;
  readonly task: Task;
  readonly own: OwnState;
  readonly phases: Phases;
  readonly loader: Loader;
  readonly vectors: VectorPool;
  readonly saver: Saver;
  /** Judges the generator; started when first asked for. Undefined: no faces are held out. */
  evaluation(): EvaluationSide | undefined;
  /** The state at `step` from its checkpoint, or from the seed, in memory of its own. */
  openState(step: Step): Promise<TrainingState>;
  close(): Promise<void>;
}

/** Micro-shards that the loader prepares ahead of the step. */
const aheadMicroShards = 4;

/** Prepares a worker for a run; an OperatorError says what in spec or data does not fit. */
export async function prepare(request: Prepare, options: PrepareOptions): Promise<PreparedRun> {
  const { runUrl, record } = request;
  const { storeOptions, send } = options;
  const { spec } = parseRunRecord(record);
  const task = createSrganTask(spec);
  const loader = await openLoader(spec, options);
  const own = createOwnState(task.networks);
  const { state } = own;
  const threads = threadsOf(spec, options.maxThreads);
  const engine = await createEngine(spec.engine.name, { threads, provider: options.provider });
  const phases = createPhases(task, spec, engine, state);
  const vectors = createVectorPool(longestVector(task, spec));
  const saver = createSaver({ task, state, runUrl, storeOptions, send });
  const store = openStore(runUrl, storeOptions);
  let judge: EvaluationSide | undefined;
  const evaluation = (): EvaluationSide | undefined => {
    if (spec.dataset.testFraction === 0) return undefined;
    const generator = task.inference.network;
    return (judge ??= createEvaluationSide({ spec, state, runUrl, options, generator, threads }));
  };
  return {
    spec,
    fingerprint: engine.fingerprint,
    task,
    own,
    phases,
    loader,
    vectors,
    saver,
    evaluation,
    openState: (step) => openState(task, spec, store, step),
    close: async () => {
      await Promise.all([loader.close(), saver.close(), judge?.close(), phases.close()]);
      await store.close();
    },
  };
}

/** On TensorFlow another number of threads gives other bytes: there it is the spec's. */
function threadsOf({ engine }: RunSpec, mostThreads: number): number {
  return engine.name === 'onnx' ? Math.min(engine.threads, mostThreads) : engine.threads;
}

async function openLoader(spec: RunSpec, options: PrepareOptions): Promise<Loader> {
  const { seed, dataset, batch } = spec;
  const store = openStore(dataset.url, options.storeOptions);
  const { index } = await readDatasetIndex(store, dataset.indexSha256);
  await store.close();
  const { train: samples } = splitSamples(index, dataset.testFraction);
  const { microShards, size: microShardSize } = batch;
  return createLoader({
    storeUrl: dataset.url,
    storeOptions: options.storeOptions,
    index,
    samples,
    order: { seed, samples: samples.length, microShards, microShardSize },
    crop: dataset.crop,
    flip: dataset.flip,
    resize: dataset.resize,
    seed,
    cacheMib: options.cacheMib,
    threads: 1,
    aheadMicroShards,
  });
}
