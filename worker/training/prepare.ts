// Everything a worker needs before its first step: task, state, data, graph, memory. Built here
// and nowhere else.

import { readDatasetIndex } from '../../dataset/read-index.js';
import { splitSamples } from '../../dataset/split.js';
import { readState } from '../../shared/checkpoint/read-state.js';
import type { TrainingState } from '../../shared/checkpoint/state.js';
import { isManifest, readManifest } from '../../shared/checkpoint/verify.js';
import { parseRunRecord } from '../../shared/run/record.js';
import type { RunSpec } from '../../shared/spec/schema.js';
import { openStore } from '../../shared/store/open-store.js';
import type { ObjectStore } from '../../shared/store/store.js';
import { createSrganTask } from '../../task/srgan/task.js';
import type { Task } from '../../task/task.js';
import type { Loader } from '../data/loader.js';
import { createLoader } from '../data/threaded-loader.js';
import { createOnnxEngine } from '../engine/onnx-engine.js';
import { createEvaluationSide, type EvaluationSide } from './evaluation-side.js';
import type { Prepare, PrepareOptions } from './prepare-request.js';
import { createPhases, longestVector, type Phases } from './phase.js';
import { createSaver, type Saver } from './saver.js';
import { shareOfRank } from './trainer.js';

/** A worker that is ready for its first step. */
export interface Prepared {
  readonly spec: RunSpec;
  readonly task: Task;
  readonly state: TrainingState;
  readonly phases: Phases;
  readonly loader: Loader;
  /** In shared memory: one vector for each subtree of this rank, and two for the results. */
  readonly contributions: readonly Float32Array[];
  readonly results: readonly [Float32Array, Float32Array];
  readonly saver: Saver;
  /** Rank 0 judges the generator on the held-out faces. */
  readonly evaluation: EvaluationSide | undefined;
  close(): Promise<void>;
}

/** Micro-shards that the loader prepares ahead of the step. */
const aheadMicroShards = 4;

/** Prepares a worker for a world; an OperatorError says what in spec or data does not fit. */
export async function prepare(request: Prepare, options: PrepareOptions): Promise<Prepared> {
  const { storeOptions, send } = options;
  const { spec } = parseRunRecord(request.record);
  const task = createSrganTask(spec);
  const store = openStore(request.runUrl, storeOptions);
  const state = await openState(task, spec, store, request.step);
  const loader = await openLoader(spec, options);
  const threads = Math.min(spec.engine.threads, options.maxThreads);
  const floats = longestVector(task, spec);
  const subtrees = shareOfRank(spec, request.rank, request.worldSize);
  const phases = createPhases(task, spec, createOnnxEngine({ threads }), state);
  // The second one is for peers that still pull the step before: alone, there are none.
  const first = sharedVector(floats);
  const second = request.worldSize === 1 ? first : sharedVector(floats);
  const saver = createSaver({
    task,
    state,
    runUrl: request.runUrl,
    storeOptions: { s3: storeOptions.s3 },
    send,
  });
  const generator = task.inference.network;
  const judges = request.rank === 0 && spec.dataset.testFraction > 0;
  const evaluation = judges
    ? createEvaluationSide({ spec, state, request, options, generator, threads })
    : undefined;
  return {
    spec,
    task,
    state,
    phases,
    loader,
    contributions: subtrees.map(() => sharedVector(floats)),
    results: [first, second],
    saver,
    evaluation,
    close: async () => {
      await Promise.all([loader.close(), saver.close(), evaluation?.close(), phases.close()]);
      await store.close();
    },
  };
}

/** Vectors that both threads of the worker see, without a copy. */
function sharedVector(floats: number): Float32Array {
  return new Float32Array(new SharedArrayBuffer(4 * floats));
}

/** The state at `step`: from its checkpoint, or at step 0 from the seed. */
async function openState(
  task: Task,
  spec: RunSpec,
  store: ObjectStore,
  step: number,
): Promise<TrainingState> {
  if (step > 0) {
    const manifest = await readManifest(store, step);
    if (!isManifest(manifest)) throw new Error(`checkpoint of step ${step}: ${manifest.text}`);
    return readState(store, manifest, task.networks);
  }
  const networks = task.networks.map(({ name }) => {
    const parameters = task.initialParameters(name, spec.seed);
    const firstMoment = new Float32Array(parameters.length);
    const secondMoment = new Float32Array(parameters.length);
    const statistics = task.initialStatistics(name);
    return [name, { parameters, firstMoment, secondMoment, statistics, updates: 0 }] as const;
  });
  return { step: 0, networks: Object.fromEntries(networks) };
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
