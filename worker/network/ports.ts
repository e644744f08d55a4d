// What the two threads of a worker say to each other. The network thread holds the session, the
// exchange and the worker's decisions; the compute thread (the main one) holds state and engine.
// Vectors are never sent: they lie in shared memory that both threads see.

import type { WorkerMessage } from '../../shared/control/messages.js';
import type { Step } from '../../shared/words.js';
import type { WorkerEffect } from '../core/state.js';

/** Settings of the network thread. */
export interface NetworkOptions {
  /** "host:port" of the coordinator. */
  readonly coordinator: string;
  readonly worker: string;
  readonly incarnation: number;
  readonly fingerprint: string;
  /** "host:port" to serve the exchange at; port 0 for any. */
  readonly listen: string;
  /** Host that peers reach this worker by. */
  readonly advertise: string;
}

export type ToNetwork =
  /** Ready to train: the vectors that the exchange reads and writes. */
  | {
      readonly kind: 'prepared';
      readonly microShards: number;
      readonly contributions: readonly Float32Array[];
      readonly results: readonly [Float32Array, Float32Array];
    }
  | { readonly kind: 'reduce'; readonly step: Step; readonly floats: number }
  | { readonly kind: 'activity'; readonly step: Step; readonly activity: string }
  | { readonly kind: 'tell'; readonly message: WorkerMessage }
  | { readonly kind: 'halted'; readonly step: Step }
  | { readonly kind: 'failed'; readonly reason: string; readonly exitCode: number }
  | { readonly kind: 'stopAsked' };

/** Decisions of the core that the compute thread carries out, and the exchange's answer. */
export type ToCompute =
  | Extract<WorkerEffect, { kind: 'prepare' | 'train' | 'voteStop' | 'abort' | 'save' | 'end' }>
  | { readonly kind: 'reduced'; readonly step: Step };
