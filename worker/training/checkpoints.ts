// What is kept of a world's steps: checkpoints, which a thread of their own stores while training
// goes on, and on rank 0 evaluations of the generator, with their sample pictures.

import { Worker } from 'node:worker_threads';
import { stateDigest } from '../../shared/checkpoint/digests.js';
import {
  encodePart,
  partsOf,
  partsOfShare,
  type EncodedPart,
} from '../../shared/checkpoint/parts.js';
import { countersOf, parametersForUse, type TrainingState } from '../../shared/checkpoint/state.js';
import type { SnapshotReport, WorkerMessage } from '../../shared/control/messages.js';
import type { NetworkSpec } from '../../shared/layout.js';
import { isDue } from '../../shared/spec/schema.js';
import type { CloneableStoreOptions } from '../../shared/store/open-store.js';
import type { Step } from '../../shared/words.js';
import { createEvaluator, type EvaluationSetup } from '../evaluation/evaluator.js';
import { failedMessage, orAborted } from './failure.js';
import type { PreparedRun, PrepareOptions, SendToNetwork } from './prepare.js';
import type { EnterOrder } from './state.js';

/** Stores and evaluates the states of one world, nothing twice. */
export interface Checkpoints {
  /** After a commit: does what the schedule asks for. Waits only while the store is behind. */
  afterCommit(until: Step, signal: AbortSignal): Promise<void>;
  /** Whatever the schedule says: resolves when the state is evaluated, and this share is stored. */
  finish(share: number, shares: number, signal: AbortSignal): Promise<void>;
}

/** The checkpoints of the world that `order` is about. */
export function createCheckpoints(
  { spec, local, saver, ...run }: PreparedRun,
  { generation, rank, worldSize }: EnterOrder,
  send: SendToNetwork,
): Checkpoints {
  const evaluations = rank === 0 ? run.evaluations() : undefined;
  let evaluated: Step | undefined;
  let saved: string | undefined;

  const evaluate = async (isLast: boolean): Promise<void> => {
    const { step } = local.counters;
    if (evaluations === undefined || evaluated === step) return;
    evaluated = step;
    evaluations.evaluate(await local.read(), isLast);
  };
  const save = async (share: number, shares: number, signal: AbortSignal): Promise<void> => {
    const { step } = local.counters;
    const what = `step ${step}, ${share} of ${shares}`;
    if (saved === what) return;
    if (!saver.isIdle) send({ kind: 'activity', step, activity: 'store' });
    await orAborted(signal, saver.idle());
    const value = saver.save(await local.read(), share, shares);
    // All send it, also those that store no part: a checkpoint is of a state that all have.
    send({ kind: 'tell', message: { kind: 'digest', generation, step, value, isWhole: true } });
    saved = what;
  };
  return {
    afterCommit: async (until, signal) => {
      const { step } = local.counters;
      if (isDue(spec.evaluation.everySteps, step)) await evaluate(step >= until);
      if (isDue(spec.checkpoint.everySteps, step)) await save(rank, worldSize, signal);
    },
    finish: async (share, shares, signal) => {
      await evaluate(true);
      await save(share, shares, signal);
      await orAborted(signal, saver.idle());
      if (evaluations !== undefined) await orAborted(signal, evaluations.drain());
    },
  };
}

export interface Saver {
  /** Whether nothing is being stored. */
  readonly isIdle: boolean;
  /** Resolves when everything is stored; rejects when something can't be. */
  idle(): Promise<void>;
  /**
   * Copies this share of the state and starts to store it; gives the digest of the whole state. A
   * part that can't be stored fails the worker. Only when idle: at most one snapshot is kept in
   * memory.
   */
  save(state: TrainingState, share: number, shares: number): string;
  close(): Promise<void>;
}

/** What the saver's thread is started with. */
export interface SaverSetup {
  readonly runUrl: string;
  readonly storeOptions: CloneableStoreOptions;
}

/** This worker's share of a checkpoint, copied out of the state. */
export interface Snapshot {
  readonly step: Step;
  /** Digest of the whole state. */
  readonly stateDigest: string;
  /** The files to store. */
  readonly parts: readonly EncodedPart[];
  /** With the first share: what the whole checkpoint consists of, for the coordinator. */
  readonly whole: WholeCheckpoint | undefined;
}

interface WholeCheckpoint {
  readonly report: Omit<SnapshotReport, 'parametersSha256'>;
  /** All parameters, network by network, for their sum. */
  readonly parameters: readonly Float32Array[];
}

/** What the saver's thread answers to a snapshot. */
export type FromSaver =
  | { readonly kind: 'tell'; readonly message: WorkerMessage }
  | { readonly kind: 'stored' }
  | { readonly kind: 'failed'; readonly reason: string };

/** The saver of states of these networks. */
export function createSaver(
  networks: readonly NetworkSpec[],
  workerData: SaverSetup,
  send: SendToNetwork,
): Saver {
  let thread: Worker | undefined;
  let storing: Promise<void> = Promise.resolve();
  let isIdle = true;
  let isClosed = false;

  // A thread for each snapshot: with it goes the snapshot's memory, hundreds of MiB that a thread
  // that only waits would have no reason to collect.
  const store = async (snapshot: Snapshot): Promise<void> => {
    thread = new Worker(new URL('./checkpoint-thread.js', import.meta.url), { workerData });
    try {
      await storeIn(thread, snapshot, send);
      isIdle = true;
    } finally {
      await thread.terminate();
    }
  };
  return {
    get isIdle() {
      return isIdle;
    },
    idle: () => storing,
    save: (state, share, shares) => {
      if (!isIdle) throw new Error('a snapshot is still being stored');
      isIdle = false;
      const snapshot = takeSnapshot(networks, state, share, shares);
      storing = store(snapshot);
      storing.catch((error: unknown) => {
        if (!isClosed) send(failedMessage(error));
      });
      return snapshot.stateDigest;
    },
    close: async () => {
      isClosed = true;
      await thread?.terminate();
    },
  };
}

/** Hands a snapshot over to a thread and waits until it is stored. */
function storeIn(thread: Worker, snapshot: Snapshot, send: SendToNetwork): Promise<void> {
  const buffers = [
    ...snapshot.parts.map(({ body }) => body.buffer as ArrayBuffer),
    ...(snapshot.whole?.parameters ?? []).map(({ buffer }) => buffer as ArrayBuffer),
  ];
  thread.postMessage(snapshot, buffers);
  return new Promise((resolve, reject) => {
    const fail = (reason: string): void =>
      reject(new Error(`step ${snapshot.step} can't be stored: ${reason}`));
    thread.on('message', (message: FromSaver) => {
      if (message.kind === 'tell') send(message);
      else if (message.kind === 'stored') resolve();
      else fail(message.reason);
    });
    thread.on('error', (error) => fail(error.message));
    thread.on('exit', () => fail('its thread ended'));
  });
}

/** Encodes the share's parts, which copies them out of the state. */
function takeSnapshot(
  networks: readonly NetworkSpec[],
  state: TrainingState,
  share: number,
  shares: number,
): Snapshot {
  const plans = partsOf(networks);
  const parts = partsOfShare(plans, share, shares).map((plan) => {
    const network = networks.find(({ name }) => name === plan.network);
    if (network === undefined) throw new Error(`no network ${plan.network}`);
    return encodePart(plan, network, state.networks[plan.network]);
  });
  const { step } = state;
  const digest = stateDigest(networks, state);
  if (share > 0) return { step, stateDigest: digest, parts, whole: undefined };
  const names = plans.map(({ name }) => name);
  const whole: WholeCheckpoint = {
    report: { kind: 'snapshot', parts: names, ...countersOf(state) },
    parameters: networks.map(({ name }) => state.networks[name].parameters.slice()),
  };
  return { step, stateDigest: digest, parts, whole };
}

/** Rank 0's second task: evaluates the generator. Training never waits but at the very end. */
export interface Evaluations {
  /** Evaluates a state's generator, which is copied at once; the last one is never skipped. */
  evaluate(state: TrainingState, isLast: boolean): void;
  /** Resolves when all that was asked for is answered. */
  drain(): Promise<void>;
  close(): Promise<void>;
}

/** The evaluations of a generator; their thread reads the held-out faces at once. */
export function createEvaluations(
  setup: EvaluationSetup,
  generator: string,
  { send, warn }: Pick<PrepareOptions, 'send' | 'warn'>,
): Evaluations {
  const evaluator = createEvaluator(setup);
  const pending = new Set<Promise<void>>();
  const evaluate = async (state: TrainingState, isLast: boolean): Promise<void> => {
    const network = state.networks[generator];
    const parameters = parametersForUse(network);
    const request = { step: state.step, parameters, statistics: network.statistics, isLast };
    const outcome = await evaluator.evaluate(request);
    if (outcome.kind === 'failed')
      warn(`the evaluation of step ${outcome.step} failed: ${outcome.reason}`);
    if (outcome.kind === 'evaluated') send({ kind: 'tell', message: outcome.report });
  };
  return {
    evaluate: (state, isLast) => {
      const answer = evaluate(state, isLast).finally(() => pending.delete(answer));
      pending.add(answer);
    },
    drain: async () => {
      await Promise.all(pending);
    },
    close: () => evaluator.close(),
  };
}
