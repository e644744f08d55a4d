// What a worker knows of its run and its world, and what can happen to it. Plain data; tensors
// never come here, only steps and names.

import type {
  CoordinatorMessage,
  WorkerMessage,
  WorldMessage,
} from '../../shared/control/messages.js';
import type { Rank, Step } from '../../shared/words.js';

/** What does not change during a worker's life. */
export interface WorkerConfig {
  readonly worker: string;
  readonly incarnation: number;
  /** "host:port" of its exchange server. */
  readonly address: string;
  readonly fingerprint: string;
}

export type Stage =
  /** Waits for the world to be formed. */
  | { readonly kind: 'joining' }
  /** The compute thread loads state, data and graph. */
  | { readonly kind: 'preparing' }
  /** Has told the coordinator, and waits until all are prepared. */
  | { readonly kind: 'prepared' }
  /** Connects to its peers. */
  | { readonly kind: 'connecting' }
  | { readonly kind: 'training' }
  /** Gives up the step in progress because a peer was lost. */
  | { readonly kind: 'aborting' }
  | { readonly kind: 'halted' }
  | { readonly kind: 'ended' };

export interface WorkerState {
  readonly config: WorkerConfig;
  readonly stage: Stage;
  readonly run: { readonly url: string; readonly record: string } | undefined;
  readonly world: WorldMessage | undefined;
  readonly rank: Rank;
  readonly step: Step;
  readonly activity: string;
}

export type WorkerEvent =
  | { readonly kind: 'sessionOpened' }
  | { readonly kind: 'message'; readonly message: CoordinatorMessage }
  | { readonly kind: 'sessionLost'; readonly reason: string }
  /** The compute thread is ready for the world. */
  | { readonly kind: 'prepared' }
  /** All peers are connected. */
  | { readonly kind: 'joined' }
  | { readonly kind: 'peerLost'; readonly worker: string; readonly reason: string }
  | { readonly kind: 'activity'; readonly step: Step; readonly activity: string }
  /** The compute thread has something to tell the coordinator. */
  | { readonly kind: 'tell'; readonly message: WorkerMessage }
  | { readonly kind: 'halted'; readonly step: Step }
  | { readonly kind: 'failed'; readonly reason: string; readonly exitCode: number }
  /** SIGTERM or SIGINT. */
  | { readonly kind: 'stopAsked' }
  | { readonly kind: 'tick' };

export type WorkerEffect =
  | { readonly kind: 'send'; readonly message: WorkerMessage }
  | {
      readonly kind: 'prepare';
      readonly runUrl: string;
      readonly record: string;
      readonly rank: Rank;
      readonly worldSize: number;
      readonly step: Step;
      readonly until: Step;
    }
  /** Connect to the peers of the world. */
  | { readonly kind: 'join'; readonly world: WorldMessage; readonly rank: Rank }
  | { readonly kind: 'train' }
  | { readonly kind: 'voteStop' }
  /** Give up the step in progress. */
  | { readonly kind: 'abort'; readonly reason: string }
  | { readonly kind: 'save'; readonly step: Step; readonly share: number; readonly shares: number }
  | { readonly kind: 'end'; readonly exitCode: number; readonly reason: string };

/** The state of a worker that has just started. */
export function initialWorkerState(config: WorkerConfig): WorkerState {
  return {
    config,
    stage: { kind: 'joining' },
    run: undefined,
    world: undefined,
    rank: 0,
    step: 0,
    activity: 'joining',
  };
}
