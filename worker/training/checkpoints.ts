// What is kept of a world's steps: checkpoints, which a thread of their own stores while training
// goes on, and on rank 0 evaluations of the generator, with their sample pictures.

import { Worker } from 'node:worker_threads';
import type { Counters } from '../../shared/checkpoint/state.js';
import type { WorkerMessage } from '../../shared/control/messages.js';
import type { NetworkSpec } from '../../shared/layout.js';
import { isDue } from '../../shared/spec/schema.js';
import type { CloneableStoreOptions } from '../../shared/store/open-store.js';
import type { Step } from '../../shared/words.js';
import {
  createEvaluator,
  type EvaluationRequest,
  type EvaluationSetup,
} from '../evaluation/evaluator.js';
import { failedMessage, orAborted } from './failure.js';
import type { HoldableState } from './held-state.js';
import type { PreparedRun, PrepareOptions, SendToNetwork } from './prepare.js';
import { planSnapshot, takeSnapshot, type Snapshot, type SnapshotPlan } from './snapshot.js';
import type { EnterOrder, GeneratorValues } from './state.js';

/** Stores and evaluates the states of one world, nothing twice. */
export interface Checkpoints {
  /**
   * After a commit: does what the schedule asks for. What is stored is copied while training goes
   * on; waits only while the store is behind.
   */
  afterCommit(until: Step, signal: AbortSignal): Promise<void>;
  /** When training halts: gives back what was prepared for a checkpoint that does not follow. */
  halted(): void;
  /** Resolves when nothing is copied any more, and the coordinator has the digests. */
  copied(signal: AbortSignal): Promise<void>;
  /** Whatever the schedule says: resolves when the state is evaluated, and this share is stored. */
  finish(share: number, shares: number, signal: AbortSignal): Promise<void>;
}

/** The checkpoints of the world that `order` is about. */
export function createCheckpoints(
  { spec, local, saver, task, ...run }: PreparedRun,
  { generation, rank, worldSize }: EnterOrder,
  send: SendToNetwork,
): Checkpoints {
  const evaluations = rank === 0 ? run.evaluations() : undefined;
  const { everySteps } = spec.checkpoint;
  let evaluated: Step | undefined;
  let saved: string | undefined;
  let copying: Promise<void> = Promise.resolve();

  const evaluate = async (isLast: boolean): Promise<void> => {
    const { step } = local.counters;
    if (evaluations === undefined || evaluated === step) return;
    evaluated = step;
    evaluations.evaluate(step, await local.readForUse(task.inference.network), isLast);
  };
  const save = async (share: number, shares: number, signal: AbortSignal): Promise<void> => {
    const { counters } = local;
    const { step } = counters;
    const what = `step ${step}, ${share} of ${shares}`;
    if (saved === what) return;
    if (!saver.isIdle) send({ kind: 'activity', step, activity: 'store' });
    await orAborted(signal, saver.idle());
    saved = what;
    copying = saver.save(counters, share, shares).then(
      // All send it, also those that store no part: a checkpoint is of a state that all have.
      (value) =>
        send({ kind: 'tell', message: { kind: 'digest', generation, step, value, isWhole: true } }),
      // The saver itself says that it failed.
      () => undefined,
    );
  };
  return {
    afterCommit: async (until, signal) => {
      const { step } = local.counters;
      if (isDue(spec.evaluation.everySteps, step)) await evaluate(step >= until);
      if (isDue(everySteps, step)) await save(rank, worldSize, signal);
      else if (isDue(everySteps, step + 1)) saver.prepare(rank, worldSize);
    },
    halted: () => saver.giveBack(),
    copied: (signal) => orAborted(signal, copying),
    finish: async (share, shares, signal) => {
      await evaluate(true);
      await save(share, shares, signal);
      await orAborted(signal, saver.idle());
      if (evaluations !== undefined) await orAborted(signal, evaluations.drain());
    },
  };
}

export interface Saver {
  /** Whether nothing is being copied or stored. */
  readonly isIdle: boolean;
  /** Resolves when everything is stored; rejects when something can't be. */
  idle(): Promise<void>;
  /** Makes room for a snapshot of this share, which is due soon; nothing unless idle. */
  prepare(share: number, shares: number): void;
  /** Gives back the room that was made for a snapshot, unless the snapshot is under way. */
  giveBack(): void;
  /**
   * Holds the state and copies this share of it while other work goes on, then stores it; gives the
   * digest of the whole state as soon as it is copied. What can't be stored fails the worker. Only
   * when idle: at most one snapshot is kept in memory.
   */
  save(counters: Counters, share: number, shares: number): Promise<string>;
  close(): Promise<void>;
}

/** What the saver's thread is started with. */
export interface SaverSetup {
  readonly runUrl: string;
  readonly storeOptions: CloneableStoreOptions;
  /** Bytes of the buffers that it makes for a snapshot. */
  readonly room: readonly number[];
}

/** What the saver's thread sends: room for a snapshot, and what became of it. */
export type FromSaver =
  | { readonly kind: 'room'; readonly buffers: readonly ArrayBuffer[] }
  | { readonly kind: 'tell'; readonly message: WorkerMessage }
  | { readonly kind: 'stored' }
  | { readonly kind: 'failed'; readonly reason: string };

/** The saver of a state of these networks. */
export function createSaver(
  networks: readonly NetworkSpec[],
  state: HoldableState,
  setup: Omit<SaverSetup, 'room'>,
  send: SendToNetwork,
): Saver {
  let prepared: (SaverThread & { readonly share: string }) | undefined;
  let storing: Promise<void> = Promise.resolve();
  let isIdle = true;
  let isClosed = false;

  const giveBack = (): void => {
    void prepared?.thread.terminate();
    prepared = undefined;
  };
  const readyThread = (share: number, shares: number) => {
    const name = `${share} of ${shares}`;
    if (prepared?.share !== name) {
      giveBack();
      const thread = startThread(setup, planSnapshot(networks, share, shares), send);
      prepared = { ...thread, share: name };
    }
    return prepared;
  };
  return {
    get isIdle() {
      return isIdle;
    },
    idle: () => storing,
    prepare: (share, shares) => {
      if (isIdle) readyThread(share, shares);
    },
    giveBack: () => {
      if (isIdle) giveBack();
    },
    save: (counters, share, shares) => {
      if (!isIdle) throw new Error('a snapshot is still being stored');
      isIdle = false;
      const { plan, room, store, thread } = readyThread(share, shares);
      const copied = state.hold(async () => {
        const read = (start: number, end: number) => state.readRange(start, end);
        return takeSnapshot(plan, counters, read, await room);
      });
      const saveAll = async (): Promise<void> => {
        try {
          await store(await copied);
          isIdle = true;
        } finally {
          prepared = undefined;
          await thread.terminate();
        }
      };
      storing = saveAll();
      storing.catch((error: unknown) => {
        if (!isClosed) send(failedMessage(error));
      });
      return copied.then(({ stateDigest }) => stateDigest);
    },
    close: async () => {
      isClosed = true;
      await prepared?.thread.terminate();
    },
  };
}

/** A thread that makes room for a snapshot, and stores it. */
interface SaverThread {
  readonly thread: Worker;
  readonly plan: SnapshotPlan;
  /** The plan's room. */
  readonly room: Promise<readonly ArrayBuffer[]>;
  /** Hands the filled room over; resolves when the snapshot is stored. */
  store(snapshot: Snapshot): Promise<void>;
}

// A thread for each snapshot: with it goes the snapshot's memory, hundreds of MiB that a thread
// that only waits would have no reason to collect. It makes that memory, since the system takes
// longer to give it than it takes to copy the state.
function startThread(
  setup: Omit<SaverSetup, 'room'>,
  plan: SnapshotPlan,
  send: SendToNetwork,
): SaverThread {
  const workerData: SaverSetup = { ...setup, room: plan.room };
  const thread = new Worker(new URL('./checkpoint-thread.js', import.meta.url), { workerData });
  let step: Step | undefined;
  let onRoom!: (buffers: readonly ArrayBuffer[]) => void;
  let onStored!: () => void;
  const failed = new Promise<never>((_, reject) => {
    const fail = (reason: string): void =>
      reject(
        new Error(`${step === undefined ? 'a state' : `step ${step}`} can't be stored: ${reason}`),
      );
    thread.on('message', (message: FromSaver) => {
      if (message.kind === 'room') onRoom(message.buffers);
      else if (message.kind === 'tell') send(message);
      else if (message.kind === 'stored') onStored();
      else fail(message.reason);
    });
    thread.on('error', (error) => fail(error.message));
    thread.on('exit', () => fail('its thread ended'));
  });
  const made = new Promise<readonly ArrayBuffer[]>((resolve) => (onRoom = resolve));
  const stored = new Promise<void>((resolve) => (onStored = resolve));
  const room = Promise.race([made, failed]);
  // Nobody may be waiting for it.
  room.catch(() => undefined);
  return {
    ...{ thread, plan, room },
    store: (snapshot) => {
      step = snapshot.step;
      const buffers = new Set<ArrayBuffer>();
      for (const { body } of snapshot.parts) buffers.add(body.buffer as ArrayBuffer);
      for (const { buffer } of snapshot.whole?.parameters ?? []) buffers.add(buffer as ArrayBuffer);
      thread.postMessage(snapshot, [...buffers]);
      return Promise.race([stored, failed]);
    },
  };
}

/** Rank 0's second task: evaluates the generator. Training never waits but at the very end. */
export interface Evaluations {
  /** Evaluates the generator of a step, which is copied at once; the last one is never skipped. */
  evaluate(step: Step, generator: GeneratorValues, isLast: boolean): void;
  /** Resolves when all that was asked for is answered. */
  drain(): Promise<void>;
  close(): Promise<void>;
}

/** The evaluations of the generator; their thread reads the held-out faces at once. */
export function createEvaluations(
  setup: EvaluationSetup,
  { send, warn }: Pick<PrepareOptions, 'send' | 'warn'>,
): Evaluations {
  const evaluator = createEvaluator(setup);
  const pending = new Set<Promise<void>>();
  const evaluate = async (request: EvaluationRequest): Promise<void> => {
    const outcome = await evaluator.evaluate(request);
    if (outcome.kind === 'failed')
      warn(`the evaluation of step ${outcome.step} failed: ${outcome.reason}`);
    if (outcome.kind === 'evaluated') send({ kind: 'tell', message: outcome.report });
  };
  return {
    evaluate: (step, generator, isLast) => {
      const request = { step, ...generator, isLast };
      const answer = evaluate(request).finally(() => pending.delete(answer));
      pending.add(answer);
    },
    drain: async () => {
      await Promise.all(pending);
    },
    close: () => evaluator.close(),
  };
}
