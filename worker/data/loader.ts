// The loader: prepares micro-shards in threads, a bounded number ahead of the step, in the order
// in which the step takes them. Which samples a micro-shard holds and how each is cut depends on
// (seed, step, leaf) alone: never on threads, timing or other leaves.

import { Worker } from 'node:worker_threads';
import { fitProblems } from '../../dataset/samples.js';
import type { DatasetIndex, DatasetSample } from '../../dataset/dataset-index.js';
import { OperatorError } from '../../shared/problems.js';
import type { DegradationSpec } from '../../shared/spec/schema.js';
import { samplesOf, type SampleOrder, type SamplePick } from '../../shared/plan/samples.js';
import {
  cloneableOptions,
  type CloneableStoreOptions,
  type StoreOptions,
} from '../../shared/store/open-store.js';
import type { Leaf, Step } from '../../shared/words.js';
import { placeOf, SampleError, type SamplePlace } from './sample-reader.js';

/**
 * One micro-shard. `hr` is [b, crop, crop, 3] in [-1, 1]; `lr` is [b, crop/4, crop/4, 3] in
 * [0, 1], the antialiased bicubic reduction of the same pixels or of a degraded copy.
 */
export interface MicroBatch {
  readonly hr: Float32Array;
  readonly lr: Float32Array;
}

/** What the training step sees of the data. */
export interface Loader {
  /**
   * Starts to prepare the given leaves of every step from `step` on, a bounded number ahead. What
   * is started again goes on, unless something of it was taken.
   */
  start(step: Step, leaves: readonly Leaf[]): void;
  /** The next micro-shard in that order; rejects with the sample's name when it can't be read. */
  take(step: Step, leaf: Leaf): Promise<MicroBatch>;
  close(): Promise<void>;
}

const mib = 1024 * 1024;
const maxThreads = 64;
const maxAhead = 4096;
const closeDeadlineMs = 5_000;

/** How pictures become patches. */
interface PatchSettings {
  /** Where the dataset lies. */
  readonly storeUrl: string;
  /** Seed of crops and flips. */
  readonly seed: number;
  /** Side of the square high-resolution crop, a multiple of 4. */
  readonly crop: number;
  readonly flip: boolean;
  /** Pixels of the shorter side that pictures are scaled to first; 0: not scaled. */
  readonly resize: number;
  /** What is done to the copy that the low resolution is made of; undefined: nothing. */
  readonly degradation?: DegradationSpec | undefined;
}

export interface LoaderOptions extends PatchSettings {
  /** How to reach the store; functions among the options stay behind. */
  readonly storeOptions?: StoreOptions | undefined;
  readonly index: Pick<DatasetIndex, 'shards'>;
  /** The training samples, in the order of the index (`splitSamples`). */
  readonly samples: readonly DatasetSample[];
  readonly order: SampleOrder;
  /** Decoded pictures that are kept, over all threads. */
  readonly cacheMib: number;
  /** Threads; one makes thousands of patches a second once pictures are in the cache. */
  readonly threads: number;
  /** Micro-shards that are prepared before they are asked for. */
  readonly aheadMicroShards: number;
  /** Called with what is no failure, but should be known. */
  readonly onNotice?: (text: string) => void;
}

/** What a thread is started with. */
export interface LoaderThreadSettings extends PatchSettings {
  readonly storeOptions: CloneableStoreOptions;
  /** Decoded pictures that this thread may keep. */
  readonly cacheBytes: number;
}

/** One sample of a job: which of the training samples, in which epoch, and where it lies. */
export interface JobSample extends SamplePick {
  readonly place: SamplePlace;
}

/** What the loader sends to its threads. A job is a micro-shard to prepare. */
export type ToLoaderThread =
  | { readonly kind: 'prepare'; readonly job: number; readonly samples: readonly JobSample[] }
  /** Jobs below this number are no longer wanted. */
  | { readonly kind: 'forget'; readonly below: number }
  | { readonly kind: 'close' };

/** What a thread answers to a job. */
export type FromLoaderThread =
  | ({ readonly kind: 'ready'; readonly job: number } & MicroBatch)
  | {
      readonly kind: 'failed';
      readonly job: number;
      /** Undefined: not one sample's fault, but a bug; `reason` is its stack. */
      readonly sample: Pick<SampleError, 'place' | 'isSpoiled'> | undefined;
      readonly reason: string;
    }
  | { readonly kind: 'notice'; readonly text: string };

/** Creates the loader; throws `OperatorError` when pictures are too small for the crop. */
export function createLoader(options: LoaderOptions): Loader {
  const problems = fitProblems(options.samples, options);
  if (problems.length > 0)
    throw new OperatorError('Pictures are too small for the crop:', problems);
  if (options.order.samples !== options.samples.length || options.samples.length === 0)
    throw new Error(`the order is over ${options.order.samples} samples, not those given`);
  if (options.threads < 1 || options.threads > maxThreads)
    throw new Error(`a loader has 1 to ${maxThreads} threads, not ${options.threads}`);
  return new ThreadedLoader(options);
}

/** A micro-shard that is being prepared. */
interface Job {
  readonly batch: Promise<MicroBatch>;
  readonly resolve: (batch: MicroBatch) => void;
  readonly reject: (error: Error) => void;
}

/** What is prepared: positions [taken, scheduled) of the order that `start` gave. */
interface Stream {
  readonly step: Step;
  readonly leaves: readonly Leaf[];
  /** Number of the job at position 0. */
  readonly firstJob: number;
  taken: number;
  scheduled: number;
}

class ThreadedLoader implements Loader {
  readonly #options: LoaderOptions;
  readonly #threads: readonly Worker[];
  readonly #jobs = new Map<number, Job>();
  #stream: Stream = { step: 0, leaves: [], firstJob: 0, taken: 0, scheduled: 0 };
  /** Why nothing can be loaded any more. */
  #end: Error | undefined;

  constructor(options: LoaderOptions) {
    this.#options = options;
    this.#threads = Array.from({ length: options.threads }, (_, i) => this.#startThread(i));
  }

  start(step: Step, leaves: readonly Leaf[]): void {
    const before = this.#stream;
    if (before.scheduled > 0 && isUntaken(before, step, leaves)) return;
    const firstJob = before.firstJob + before.scheduled;
    this.#stream = { step, leaves: [...leaves], firstJob, taken: 0, scheduled: 0 };
    this.#rejectAll(new Error('the loader was started anew'));
    for (const thread of this.#threads) post(thread, { kind: 'forget', below: firstJob });
    this.#schedule();
  }

  async take(step: Step, leaf: Leaf): Promise<MicroBatch> {
    if (this.#end !== undefined) throw this.#end;
    const stream = this.#stream;
    const next = placeAt(stream, stream.taken);
    if (next?.step !== step || next.leaf !== leaf)
      throw new Error(
        `micro-shard ${leaf} of step ${step} was asked for out of turn: ` +
          (next ? `${next.leaf} of step ${next.step} is next` : 'none was started'),
      );
    const number = stream.firstJob + stream.taken;
    stream.taken++;
    this.#schedule();
    try {
      return await this.#jobs.get(number)!.batch;
    } finally {
      this.#jobs.delete(number);
    }
  }

  async close(): Promise<void> {
    this.#finish(new Error('the loader is closed'));
    await Promise.all(this.#threads.map(endThread));
  }

  /** Gives jobs to the threads, as far ahead of what was taken as allowed. */
  #schedule(): void {
    const stream = this.#stream;
    const ahead = Math.min(maxAhead, Math.max(1, this.#options.aheadMicroShards));
    while (this.#end === undefined && stream.scheduled < stream.taken + ahead) {
      const place = placeAt(stream, stream.scheduled);
      if (place === undefined) return;
      const number = stream.firstJob + stream.scheduled;
      stream.scheduled++;
      this.#jobs.set(number, createJob());
      const thread = this.#threads[number % this.#threads.length];
      post(thread, { kind: 'prepare', job: number, samples: this.#samplesAt(place) });
    }
  }

  #samplesAt({ step, leaf }: { step: Step; leaf: Leaf }): JobSample[] {
    const { order, samples, index } = this.#options;
    return samplesOf(order, step, leaf).map((pick) => ({
      ...pick,
      place: placeOf(index, samples[pick.sample]),
    }));
  }

  #startThread(number: number): Worker {
    const { storeUrl, storeOptions, seed, crop, flip, resize, cacheMib, threads } = this.#options;
    const { degradation } = this.#options;
    const settings: LoaderThreadSettings = {
      ...{ storeUrl, seed, crop, flip, resize, degradation },
      storeOptions: cloneableOptions(storeOptions ?? {}),
      cacheBytes: Math.floor((cacheMib * mib) / threads),
    };
    const thread = new Worker(new URL('./loader-thread.js', import.meta.url), {
      name: `loader-${number}`,
      workerData: settings,
    });
    thread.on('message', (message: FromLoaderThread) => this.#settle(message));
    thread.on('error', (error) =>
      this.#finish(new Error('a loader thread failed', { cause: error })),
    );
    thread.on('exit', () => this.#finish(new Error('a loader thread ended')));
    return thread;
  }

  #settle(message: FromLoaderThread): void {
    if (message.kind === 'notice') return this.#options.onNotice?.(message.text);
    const job = this.#jobs.get(message.job);
    if (job === undefined) return;
    if (message.kind === 'ready') job.resolve({ hr: message.hr, lr: message.lr });
    else if (message.sample === undefined) job.reject(new Error(message.reason));
    else {
      const { place, isSpoiled } = message.sample;
      job.reject(new SampleError(place, message.reason, isSpoiled));
    }
  }

  #finish(reason: Error): void {
    this.#end ??= reason;
    this.#rejectAll(this.#end);
  }

  #rejectAll(reason: Error): void {
    for (const job of this.#jobs.values()) job.reject(reason);
    this.#jobs.clear();
  }
}

function isUntaken(stream: Stream, step: Step, leaves: readonly Leaf[]): boolean {
  return stream.taken === 0 && stream.step === step && stream.leaves.join() === leaves.join();
}

/** The micro-shard at a position of the stream; undefined when it has no leaves. */
function placeAt(stream: Stream, position: number): { step: Step; leaf: Leaf } | undefined {
  const { step, leaves } = stream;
  if (leaves.length === 0) return undefined;
  const leaf = leaves[position % leaves.length];
  return { step: step + Math.floor(position / leaves.length), leaf };
}

function createJob(): Job {
  let resolve!: Job['resolve'];
  let reject!: Job['reject'];
  const batch = new Promise<MicroBatch>((...settle) => ([resolve, reject] = settle));
  // One that nobody waits for may fail: `take` rejects with the reason.
  batch.catch(() => undefined);
  return { batch, resolve, reject };
}

function post(thread: Worker, message: ToLoaderThread): void {
  thread.postMessage(message);
}

/** Lets a thread finish what it decodes; ends it by force when that takes too long. */
async function endThread(thread: Worker): Promise<void> {
  if (thread.threadId === -1) return;
  const ended = new Promise((resolve) => thread.once('exit', resolve));
  post(thread, { kind: 'close' });
  const timer = setTimeout(() => void thread.terminate(), closeDeadlineMs);
  await ended;
  clearTimeout(timer);
}
