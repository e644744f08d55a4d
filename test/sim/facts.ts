// What the oracles get to see of a simulation: facts from outside, as they happen. An
// oracle keeps its own books of them and throws when something can't be right.

import type { CoordinatorState } from '../../coordinator/core/state.js';
import type { CoordinatorMessage, WorldMessage } from '../../shared/control/messages.js';
import type { SamplePick } from '../../shared/plan/samples.js';
import type { WorkerEffect, WorkerState } from '../../worker/core/state.js';
import type { TrainingState } from './training-state.js';

/** One process of a worker. */
export interface Who {
  readonly worker: string;
  readonly incarnation: number;
}

export type Fact =
  /** A message of a coordinator was handled by a worker's core, which wanted these effects. */
  | {
      readonly kind: 'heard';
      readonly who: Who;
      readonly term: number;
      readonly message: CoordinatorMessage;
      readonly effects: readonly WorkerEffect[];
    }
  /** Any effect of a worker's core. */
  | { readonly kind: 'wanted'; readonly who: Who; readonly effect: WorkerEffect }
  | {
      readonly kind: 'formed';
      readonly term: number;
      readonly world: Pick<WorldMessage, 'generation' | 'members' | 'step'>;
    }
  /** A worker has computed a micro-shard's contribution. */
  | {
      readonly kind: 'computed';
      readonly who: Who;
      readonly generation: number;
      readonly step: number;
      readonly leaf: number;
      readonly picks: readonly SamplePick[];
    }
  /** A worker has applied a step: `state` is what came of it. */
  | {
      readonly kind: 'committed';
      readonly who: Who;
      readonly generation: number;
      readonly state: TrainingState;
      readonly worldSize: number;
    }
  /** A worker has taken a state for a world. */
  | {
      readonly kind: 'adopted';
      readonly who: Who;
      readonly generation: number;
      readonly source: 'own' | 'peer' | 'checkpoint';
      /** The step that the world starts from. */
      readonly step: number;
      readonly state: TrainingState;
    }
  | {
      readonly kind: 'lost';
      readonly generation: number;
      readonly worker: string;
      readonly why: string;
    }
  /** A manifest was written, and these are the bytes in the store. */
  | {
      readonly kind: 'manifest';
      readonly step: number;
      readonly parts: readonly { readonly name: string; readonly sha256: string }[];
      readonly bodies: readonly (string | undefined)[];
    }
  /** A step or a quality that the coordinator tells the world of. */
  | { readonly kind: 'reported'; readonly step: number }
  /** A worker that was well has ended, because another process has its id. */
  | { readonly kind: 'displaced'; readonly worker: string }
  | { readonly kind: 'sent'; readonly from: string; readonly session: number }
  /** Taken now and then. */
  | {
      readonly kind: 'sizes';
      readonly workers: readonly { readonly who: Who; readonly state: WorkerState }[];
      readonly coordinators: readonly CoordinatorState[];
      /** Exchange streams held at each worker. */
      readonly held: readonly number[];
      readonly streams: number;
    }
  | { readonly kind: 'fault'; readonly name: string; readonly target: string }
  | { readonly kind: 'healed' }
  /** The run ended well; the store can be read. */
  | { readonly kind: 'finished'; readonly read: (key: string) => string | undefined }
  /** A coordinator's process ended by itself. */
  | { readonly kind: 'ended'; readonly term: number; readonly code: number; readonly why: string };

/** What must not be. */
export class Violation extends Error {
  constructor(
    readonly oracle: string,
    text: string,
  ) {
    super(`${oracle}: ${text}`);
    this.name = 'Violation';
  }
}

export interface Oracle {
  /** Throws a Violation. */
  observe(fact: Fact, nowMs: number): void;
}
