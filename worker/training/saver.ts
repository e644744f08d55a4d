// Checkpoints, seen from the training loop: a snapshot is taken between two steps, and stored by
// a thread of its own while training goes on.

import { Worker } from 'node:worker_threads';
import { encodePart, partsOf, partsOfShare } from '../../shared/checkpoint/parts.js';
import type { TrainingState } from '../../shared/checkpoint/state.js';
import type { Task } from '../../task/task.js';
import type { CloneableStoreOptions } from '../data/loader-messages.js';
import type { ToNetwork } from '../network/ports.js';
import type { FromSaver, SaverSetup, Snapshot } from './saver-messages.js';

export interface Saver {
  /**
   * Encodes this worker's share of the state's parts and starts to store them. Waits for an
   * earlier snapshot to be stored first: at most one is kept in memory.
   */
  save(share: number, shares: number): Promise<void>;
  /** Resolves when everything is stored; rejects with the reason when something can't be. */
  drain(): Promise<void>;
  close(): Promise<void>;
}

export interface SaverOptions {
  readonly task: Task;
  readonly state: TrainingState;
  readonly runUrl: string;
  readonly storeOptions: CloneableStoreOptions;
  readonly send: (message: ToNetwork) => void;
}

/** Creates the saver of a state. */
export function createSaver(options: SaverOptions): Saver {
  const { task, state, runUrl, storeOptions, send } = options;
  const setup: SaverSetup = { runUrl, storeOptions };
  let thread: Worker | undefined;
  let storing: Promise<void> = Promise.resolve();

  // A thread for each snapshot: with it goes the snapshot's memory, hundreds of MiB that a thread
  // that only waits would have no reason to collect.
  const store = async (snapshot: Snapshot): Promise<void> => {
    thread = new Worker(new URL('./saver-thread.js', import.meta.url), { workerData: setup });
    try {
      await storeIn(thread, snapshot, send);
    } finally {
      await thread.terminate();
    }
  };
  return {
    save: async (share, shares) => {
      await storing;
      storing = store(takeSnapshot(task, state, share, shares));
      // A failure is told by the next save or drain.
      storing.catch(() => undefined);
    },
    drain: () => storing,
    close: async () => {
      await thread?.terminate();
    },
  };
}

/** Hands a snapshot over to a thread and waits until it is stored. */
function storeIn(
  thread: Worker,
  snapshot: Snapshot,
  send: (message: ToNetwork) => void,
): Promise<void> {
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
function takeSnapshot(task: Task, state: TrainingState, share: number, shares: number): Snapshot {
  const plans = partsOf(task.networks);
  const parts = partsOfShare(plans, share, shares).map((plan) => {
    const network = task.networks.find(({ name }) => name === plan.network);
    if (network === undefined) throw new Error(`no network ${plan.network}`);
    return encodePart(plan, network, state.networks[plan.network]);
  });
  if (share > 0) return { step: state.step, parts, whole: undefined };
  const states = task.networks.map(({ name }) => [name, state.networks[name]] as const);
  const whole = {
    parts: plans.map(({ name }) => name),
    parameters: states.map(([, { parameters }]) => parameters.slice()),
    updates: Object.fromEntries(states.map(([name, { updates }]) => [name, updates])),
  };
  return { step: state.step, parts, whole };
}
