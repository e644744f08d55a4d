// Checkpoints, seen from the training loop: a snapshot is taken between two steps, and stored by
// a thread of its own while training goes on.

import { Worker } from 'node:worker_threads';
import { partsOf, partsOfShare } from '../../shared/checkpoint/parts.js';
import type { NetworkState, TrainingState } from '../../shared/checkpoint/state.js';
import type { Task } from '../../task/task.js';
import type { CloneableStoreOptions } from '../data/loader-messages.js';
import type { ToNetwork } from '../network/ports.js';
import type { FromSaver, SaverSetup, Snapshot } from './saver-messages.js';

export interface Saver {
  /**
   * Copies this worker's share of the state's parts and starts to store them. Waits for an
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

/** Creates the saver of a state; its thread starts with the first snapshot. */
export function createSaver(options: SaverOptions): Saver {
  const { task, state, runUrl, storeOptions, send } = options;
  const setup: SaverSetup = { networks: task.networks, runUrl, storeOptions };
  let thread: Worker | undefined;
  let storing: Promise<void> = Promise.resolve();

  const store = (snapshot: Snapshot): Promise<void> => {
    thread ??= new Worker(new URL('./saver-thread.js', import.meta.url), { workerData: setup });
    const current = thread;
    const buffers = Object.values(snapshot.states).flatMap((vectors) =>
      Object.values(vectors).map((vector) => vector.buffer as ArrayBuffer),
    );
    current.postMessage(snapshot, buffers);
    return new Promise((resolve, reject) => {
      const leave = (): void => {
        current.off('message', onMessage).off('error', onError);
      };
      const onMessage = (message: FromSaver): void => {
        if (message.kind === 'tell') return send(message);
        leave();
        if (message.kind === 'stored') resolve();
        else reject(new Error(`step ${snapshot.step} can't be stored: ${message.reason}`));
      };
      const onError = (error: Error): void => {
        leave();
        reject(error);
      };
      current.on('message', onMessage).on('error', onError);
    });
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

/** Copies what the share's parts need; the first share also needs all parameters, for the sum. */
function takeSnapshot(task: Task, state: TrainingState, share: number, shares: number): Snapshot {
  const parts = partsOfShare(partsOf(task.networks), share, shares);
  const isWanted = (network: string, kind: string): boolean =>
    (share === 0 && kind === 'parameters') ||
    parts.some((part) => part.network === network && part.kind === kind);
  const copy = (values: Float32Array, wanted: boolean): Float32Array =>
    wanted ? Float32Array.from(values) : new Float32Array(0);
  const copyState = (network: string, from: NetworkState): Snapshot['states'][string] => ({
    parameters: copy(from.parameters, isWanted(network, 'parameters')),
    firstMoment: copy(from.firstMoment, isWanted(network, 'adam')),
    secondMoment: copy(from.secondMoment, isWanted(network, 'adam')),
    statistics: copy(from.statistics, isWanted(network, 'statistics')),
  });
  const networks = Object.entries(state.networks);
  return {
    step: state.step,
    parts,
    states: Object.fromEntries(networks.map(([name, from]) => [name, copyState(name, from)])),
    updates: Object.fromEntries(networks.map(([name, { updates }]) => [name, updates])),
    tellsSnapshot: share === 0,
  };
}
