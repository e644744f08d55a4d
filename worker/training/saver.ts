// Checkpoints, seen from the training loop: a snapshot is taken between two steps, and stored by
// a thread of its own while training goes on.

import { Worker } from 'node:worker_threads';
import { encodePart, partsOf, partsOfShare } from '../../shared/checkpoint/parts.js';
import { stateDigest } from '../../shared/checkpoint/digests.js';
import type { TrainingState } from '../../shared/checkpoint/state.js';
import type { StoreOptions } from '../../shared/store/open-store.js';
import type { Task } from '../../task/task.js';
import { failureOf } from './failure.js';
import type { SendToNetwork } from './prepare-request.js';
import type { FromSaver, SaverSetup, Snapshot, WholeCheckpoint } from './saver-messages.js';

export interface Saver {
  /** Whether nothing is being stored. */
  readonly isIdle: boolean;
  /** Resolves when everything is stored; rejects when something can't be. */
  idle(): Promise<void>;
  /**
   * Encodes this share of the state's parts and starts to store them; a part that can't be stored
   * fails the worker. Only when idle: at most one snapshot is kept in memory.
   */
  save(share: number, shares: number): string;
  close(): Promise<void>;
}

export interface SaverOptions {
  readonly task: Pick<Task, 'networks'>;
  readonly state: TrainingState;
  readonly runUrl: string;
  readonly storeOptions: StoreOptions;
  readonly send: SendToNetwork;
}

/** Creates the saver of a state. */
export function createSaver(options: SaverOptions): Saver {
  const { task, state, runUrl, storeOptions, send } = options;
  const { s3, retryPolicy } = storeOptions;
  const setup: SaverSetup = { runUrl, storeOptions: { s3, retryPolicy } };
  let thread: Worker | undefined;
  let storing: Promise<void> = Promise.resolve();
  let isIdle = true;
  let isClosed = false;

  // A thread for each snapshot: with it goes the snapshot's memory, hundreds of MiB that a thread
  // that only waits would have no reason to collect.
  const store = async (snapshot: Snapshot): Promise<void> => {
    thread = new Worker(new URL('./saver-thread.js', import.meta.url), { workerData: setup });
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
    save: (share, shares) => {
      if (!isIdle) throw new Error('a snapshot is still being stored');
      isIdle = false;
      const snapshot = takeSnapshot(task, state, share, shares);
      storing = store(snapshot);
      storing.catch((error: unknown) => {
        if (!isClosed) send(failureOf(error));
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
  { networks }: Pick<Task, 'networks'>,
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
  const names = plans.map(({ name }) => name);
  const whole = share > 0 ? undefined : takeWhole({ networks }, state, names);
  return { step, stateDigest: digest, parts, whole };
}

function takeWhole(
  { networks }: Pick<Task, 'networks'>,
  state: TrainingState,
  parts: readonly string[],
): WholeCheckpoint {
  const states = networks.map(({ name }) => [name, state.networks[name]] as const);
  return {
    parts,
    parameters: states.map(([, { parameters }]) => parameters.slice()),
    updates: Object.fromEntries(states.map(([name, { updates }]) => [name, updates])),
    skippedInARow: state.skippedInARow,
  };
}
