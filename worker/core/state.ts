// What a worker knows of its run and its world, and what can happen to it. Plain data; tensors
// never come here, only steps and names. The state is changed in place by transition.ts.

import {
  noWorld,
  type CoordinatorMessage,
  type FaultMessage,
  type Pace,
  type StateSource,
  type WorkerMessage,
  type WorkerStage,
  type WorldMessage,
} from '../../shared/control/messages.js';
import type { Generation, Rank, Step } from '../../shared/words.js';

/** What does not change during a worker's life. */
export interface WorkerConfig {
  readonly worker: string;
  readonly incarnation: number;
  /** "host:port" of its exchange server. */
  readonly address: string;
  /** "host:port" of each further lane of the exchange. */
  readonly lanes?: readonly string[];
  /** The folder of its Unix sockets. */
  readonly socket?: string | undefined;
  readonly pid: number;
  readonly host: string;
  /** Longest time without any coordinator; after it the worker gives up. */
  readonly patienceMs: number;
  /** Longest time that leaving in order may take; after it the worker just goes. */
  readonly drainMs: number;
  /** Whether faults may be injected (lockstep chaos). */
  readonly allowsFaults: boolean;
}

/** A report that the coordinator must have until a checkpoint makes it needless. */
export type KeptReport = Extract<
  WorkerMessage,
  { kind: 'stepReport' | 'evaluation' | 'partStored' | 'snapshot' }
>;

/** The run that a worker belongs to since it was welcomed. */
export interface WorkerRun {
  readonly id: string;
  readonly url: string;
  readonly record: string;
  readonly recordSha256: string;
  /** Others trained when it came. */
  readonly othersTrain: boolean;
}

export interface WorkerState {
  readonly config: WorkerConfig;
  stage: WorkerStage | 'ended';
  /** Highest term of a coordinator heard of. */
  term: number;
  run: WorkerRun | undefined;
  /** The world it is in, or was in last; generation 0 before the first. */
  world: Omit<WorldMessage, 'kind'>;
  /** A later world, to be entered as soon as this one is left. */
  next: Omit<WorldMessage, 'kind'> | undefined;
  rank: Rank;
  /** What it computes with; empty until the run is loaded. */
  fingerprint: string;
  /** Steps committed in its state, if it has one. */
  step: Step;
  hasState: boolean;
  /** It has committed a step. */
  hasTrained: boolean;
  activity: string;
  isLeaving: boolean;
  leavingSinceMs: number;
  /** Peers of `world` that can't be reached, with the reason. */
  readonly suspicions: Map<string, string>;
  trouble: string;
  /** Why it could not enter `world`. */
  obstacle: string;
  pace: Pace;
  /** Sent since the newest checkpoint, to be sent again to the next coordinator. */
  reports: KeptReport[];
  sequence: number;
  isConnected: boolean;
  /** The coordinator of this session has answered its hello. */
  isWelcome: boolean;
  /** Since when no coordinator has welcomed it; counts while `isWelcome` is false. */
  aloneSinceMs: number;
}

export type WorkerEvent =
  /** A session is open; whatever an earlier one still brings is dropped by the edge. */
  | { readonly kind: 'sessionOpened' }
  /** The edge dials again by itself, address after address. */
  | { readonly kind: 'sessionLost'; readonly reason: string }
  | { readonly kind: 'message'; readonly message: CoordinatorMessage }
  /** The compute thread has loaded the run, and knows what it computes with. */
  | { readonly kind: 'ready'; readonly fingerprint: string }
  /** It has the state of the world's first step. */
  | { readonly kind: 'entered'; readonly generation: Generation }
  /** It could not get it (the donor is gone, say); its own state is as it was. */
  | { readonly kind: 'enterFailed'; readonly generation: Generation; readonly reason: string }
  /** All peers are connected. */
  | { readonly kind: 'joined'; readonly generation: Generation }
  | {
      readonly kind: 'peerLost';
      readonly generation: Generation;
      readonly worker: string;
      readonly reason: string;
    }
  | { readonly kind: 'activity'; readonly step: Step; readonly activity: string }
  /** The seconds of the step committed last. */
  | { readonly kind: 'paced'; readonly pace: Pace }
  /** A message of the compute thread for the coordinator. */
  | { readonly kind: 'tell'; readonly message: WorkerMessage }
  /** The compute thread trains no further: all voted, `until` is reached, or it was aborted. */
  | {
      readonly kind: 'halted';
      readonly generation: Generation;
      readonly step: Step;
      readonly hasState: boolean;
      /** Why it can't go on although it should; empty for no reason. */
      readonly trouble: string;
    }
  /** What `finish` asked for is done. */
  | { readonly kind: 'finished'; readonly generation: Generation; readonly step: Step }
  /** It can't go on; `sample`: because of this one, which is not what the index says, or ''. */
  | {
      readonly kind: 'failed';
      readonly reason: string;
      readonly exitCode: number;
      readonly sample: string;
    }
  /** SIGTERM or SIGINT: leave in order. */
  | { readonly kind: 'stopAsked' }
  | { readonly kind: 'tick' };

export type WorkerEffect =
  /** Dropped by the edge when there is no session. */
  | { readonly kind: 'send'; readonly message: WorkerMessage }
  /** Give up this session and dial on: its coordinator has been superseded. */
  | { readonly kind: 'redial'; readonly reason: string }
  /** Load task, data and engine of the run. Answer: ready. */
  | { readonly kind: 'prepare'; readonly runUrl: string; readonly record: string }
  /** Take the state for a world. Answer: entered or enterFailed. */
  | {
      readonly kind: 'enter';
      readonly generation: Generation;
      readonly rank: Rank;
      readonly worldSize: number;
      readonly step: Step;
      readonly source: StateSource;
      readonly donor: string;
    }
  /** Connect to the peers of the world. Answer: joined, or peerLost. */
  | { readonly kind: 'join'; readonly world: Omit<WorldMessage, 'kind'>; readonly rank: Rank }
  /** Take steps until `until` is committed or the world has voted to halt. Answer: halted. */
  | { readonly kind: 'train'; readonly generation: Generation; readonly until: Step }
  | { readonly kind: 'voteStop' }
  /** Give up whatever is under way in this world. Answer: halted, always. */
  | { readonly kind: 'abort'; readonly generation: Generation; readonly reason: string }
  /** Store this share of the state; rank 0 also judges it. Answer: finished. */
  | {
      readonly kind: 'finish';
      readonly generation: Generation;
      readonly step: Step;
      readonly share: number;
      readonly shares: number;
    }
  | { readonly kind: 'fault'; readonly fault: FaultMessage }
  | { readonly kind: 'end'; readonly exitCode: number; readonly reason: string };

/** Nothing measured yet. */
export const noPace: Pace = {
  dataS: 0,
  computeS: 0,
  exchangeS: 0,
  updateS: 0,
  waitedFor: '',
  waitedS: 0,
  sentBytes: 0,
  receivedBytes: 0,
};

/** The state of a worker that has just started. */
export function initialWorkerState(config: WorkerConfig, nowMs: number): WorkerState {
  return {
    config,
    stage: 'joining',
    term: 0,
    run: undefined,
    world: noWorld,
    next: undefined,
    rank: 0,
    fingerprint: '',
    step: 0,
    hasState: false,
    hasTrained: false,
    activity: 'join',
    isLeaving: false,
    leavingSinceMs: 0,
    suspicions: new Map(),
    trouble: '',
    obstacle: '',
    pace: noPace,
    reports: [],
    sequence: 0,
    isConnected: false,
    isWelcome: false,
    aloneSinceMs: nowMs,
  };
}
