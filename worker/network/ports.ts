// The messages between the two threads of a worker. The network thread holds the session, the
// exchange and the worker's decisions; the compute thread (the main one) holds state and engine.
// Vectors of the exchange are not copied: they lie in a memory that both threads see.

import type { Trap } from '../../shared/control/messages.js';
import type { StepSpan } from '../../shared/control/tracing.js';
import type { LogLevel } from '../../shared/environment.js';
import type { StepShape } from '../../shared/plan/step-vector.js';
import type { TlsPlan } from '../../shared/tls/doors.js';
import type { Generation, Leaf, Step } from '../../shared/words.js';
import type { WorkerEffect, WorkerEvent } from '../core/state.js';
import type { ExchangeWorld } from '../exchange/exchange.js';

/** Settings of the network thread. */
export interface NetworkOptions {
  /** "host:port" of the coordinator and its standbys; they are dialled in turn. */
  readonly coordinators: readonly string[];
  readonly worker: string;
  readonly incarnation: number;
  /** "host:port" to serve the exchange at; port 0 for any. */
  readonly listen: string;
  /** Host that peers reach this worker by. */
  readonly advertise: string;
  /** Lanes of the exchange, from 1: threads with a port each. */
  readonly lanes: number;
  readonly patienceMs: number;
  readonly drainMs: number;
  readonly allowsFaults: boolean;
  readonly logLevel: LogLevel;
  /** Undefined: all is in clear. */
  readonly tls: TlsPlan | undefined;
  /** "host:port" to answer for metrics and health at. */
  readonly metrics: string | undefined;
}

/** What the compute thread says of a world that it has entered: its vectors, and what they hold. */
export type WorldVectors = Omit<ExchangeWorld, 'world' | 'rank' | 'lane' | 'lanes'>;

/** What a state consists of, sent ahead of its bytes. */
export interface StateHeader {
  readonly step: Step;
  /** Bytes that follow, in all. */
  readonly bytes: number;
  /** Digest of the whole state. */
  readonly digest: string;
  readonly updates: Readonly<Record<string, number>>;
  /** Steps in a row, up to this one, whose gradients were not finite. */
  readonly skippedInARow: number;
}

export type ToNetwork =
  | Extract<
      WorkerEvent,
      {
        kind:
          | 'ready'
          | 'enterFailed'
          | 'activity'
          | 'tell'
          | 'halted'
          | 'finished'
          | 'failed'
          | 'stopAsked';
      }
    >
  /** The state of the world's first step is here, and these are the vectors to exchange. */
  | {
      readonly kind: 'entered';
      readonly generation: Generation;
      readonly vectors: WorldVectors;
    }
  /** A step begins, of which nothing is computed yet. */
  | { readonly kind: 'begin'; readonly step: Step; readonly shape: StepShape }
  /** A contribution to it is complete. */
  | { readonly kind: 'contribute'; readonly step: Step; readonly index: number }
  /** The factors of a leaf are in its result. */
  | { readonly kind: 'publish'; readonly step: Step; readonly leaf: Leaf }
  /** The seconds of the step committed last; the network thread adds what its exchange took. */
  | {
      readonly kind: 'paced';
      readonly dataS: number;
      readonly computeS: number;
      readonly exchangeS: number;
      readonly updateS: number;
    }
  /** Spans of steps that `record` asked for. */
  | {
      readonly kind: 'recorded';
      readonly id: number;
      readonly spans: readonly StepSpan[];
      readonly isLast: boolean;
    }
  /** Get the state at `step` from the worker at `donor`. Answers: stateHeader, stateChunk, ... */
  | {
      readonly kind: 'fetchState';
      readonly generation: Generation;
      readonly donor: string;
      readonly step: Step;
    }
  /** Stop fetching. */
  | { readonly kind: 'dropState' }
  /** One chunk was taken: another may come. */
  | { readonly kind: 'stateTaken' }
  /** Answers to serveState. */
  | { readonly kind: 'servedHeader'; readonly request: number; readonly header: StateHeader }
  | { readonly kind: 'servedChunk'; readonly request: number; readonly bytes: Uint8Array }
  | { readonly kind: 'serveRefused'; readonly request: number; readonly reason: string };

/** Decisions of the core that the compute thread carries out, and the network's answers. */
export type ToCompute =
  | Extract<
      WorkerEffect,
      {
        kind: 'prepare' | 'enter' | 'train' | 'voteStop' | 'abort' | 'finish' | 'end';
      }
    >
  /** The factors of all leaves are in the step's result. */
  | { readonly kind: 'gathered'; readonly step: Step }
  /** The step's result is there. */
  | { readonly kind: 'reduced'; readonly step: Step }
  /** One bit of the parameters is to change (lockstep chaos). */
  | { readonly kind: 'flip' }
  /** This process is to be signalled at an activity (lockstep chaos). */
  | { readonly kind: 'trap'; readonly trap: Trap }
  /** Record the steps [firstStep, endStep), by the numbers that they have once committed. */
  | {
      readonly kind: 'record';
      readonly id: number;
      readonly firstStep: Step;
      readonly endStep: Step;
    }
  /** Answers to fetchState; after the last chunk (see the header's bytes) nothing follows. */
  | { readonly kind: 'stateHeader'; readonly header: StateHeader }
  | { readonly kind: 'stateChunk'; readonly bytes: Uint8Array }
  | { readonly kind: 'stateFailed'; readonly reason: string }
  /** A peer asks for the state at `step`: answer with servedHeader or serveRefused. */
  | { readonly kind: 'serveState'; readonly request: number; readonly step: Step }
  /** Send the next chunk of a state that is being served, at most `maxBytes` long. */
  | {
      readonly kind: 'serveMore';
      readonly request: number;
      readonly offset: number;
      readonly maxBytes: number;
    };
