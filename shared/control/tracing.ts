// The messages of a trace of steps, beside those that decisions are made of: what a worker is asked
// to record, what it answers, and what an operator gets. Neither side's core sees them.

import { z } from 'zod';
import { fromWire, type WireMessage } from './codec.js';
import {
  coordinatorMessageSchema,
  maxWorkers,
  workerMessageSchema,
  type CoordinatorMessage,
  type WorkerMessage,
} from './messages.js';
import { printable } from '../problems.js';

/** Most steps of a trace. */
export const maxTracedSteps = 1_000;

const count = z.number().int().min(0).max(Number.MAX_SAFE_INTEGER);
const name = z.string().max(200).transform(printable);
const text = z.string().max(4096).transform(printable);
/** Microseconds since 1970 on somebody's clock. */
const moment = z.number().min(0).max(Number.MAX_SAFE_INTEGER);

const span = z.object({
  /** "compute", "device 1", ..., "exchange", "network" */
  thread: name,
  name,
  /** On the worker's clock. */
  startUs: moment,
  /** Undefined: it is a moment. */
  durationUs: moment.optional(),
  generation: count,
  step: count,
  microShard: count.optional(),
  chunk: count.optional(),
  phase: name.optional(),
  /** Another worker: who sent it, or gets it, or is waited for. */
  peer: name.optional(),
  bytes: count.optional(),
  /** The leaves that a sum is over: [firstLeaf, endLeaf). */
  firstLeaf: count.optional(),
  endLeaf: count.optional(),
  /** When it was asked for. */
  askedUs: moment.optional(),
});

/** Most spans in a message; together with the names' lengths it stays below 64 KiB. */
export const spansPerMessage = 200;
const spans = z.array(span).max(10 * spansPerMessage);

const clockReply = z.object({
  kind: z.literal('clockReply'),
  id: count,
  sentUs: moment,
  receivedUs: moment,
  repliedUs: moment,
});
const spansMessage = z.object({
  kind: z.literal('spans'),
  id: count,
  spans,
  dropped: count,
  isLast: z.boolean(),
});
const traceOrder = z.object({
  kind: z.literal('trace'),
  id: count,
  firstStep: count,
  steps: count.max(maxTracedSteps),
});
const clockAsk = z.object({ kind: z.literal('clockAsk'), id: count, sentUs: moment });

const traceAnswerSchema = z.discriminatedUnion('kind', [clockReply, spansMessage]);
const traceRequestSchema = z.discriminatedUnion('kind', [traceOrder, clockAsk]);

/** What one thread of a worker did for a while, or, without a duration, at a moment. */
export type StepSpan = z.infer<typeof span>;
/** What the coordinator sends to workers for a trace. */
export type TraceOrder = z.infer<typeof traceRequestSchema>;
/** What workers send back. */
export type TraceAnswer = z.infer<typeof traceAnswerSchema>;
/** A question for the time, answered. */
export type ClockReply = z.infer<typeof clockReply>;

/** A message of a worker, checked; throws with the field that is wrong. */
export function fromWorker(wire: WireMessage): WorkerMessage | TraceAnswer {
  return wire.body === 'clockReply' || wire.body === 'spans'
    ? fromWire(traceAnswerSchema, wire)
    : fromWire(workerMessageSchema, wire);
}

/** A message of a coordinator, checked; throws with the field that is wrong. */
export function fromCoordinator(wire: WireMessage): CoordinatorMessage | TraceOrder {
  return wire.body === 'trace' || wire.body === 'clockAsk'
    ? fromWire(traceRequestSchema, wire)
    : fromWire(coordinatorMessageSchema, wire);
}

/** Whether a worker's message belongs to a trace. */
export function isTraceAnswer(message: WorkerMessage | TraceAnswer): message is TraceAnswer {
  return message.kind === 'clockReply' || message.kind === 'spans';
}

/** Whether a coordinator's message belongs to a trace. */
export function isTraceOrder(message: CoordinatorMessage | TraceOrder): message is TraceOrder {
  return message.kind === 'trace' || message.kind === 'clockAsk';
}

const clockEstimate = z.object({
  /** When, on the worker's clock. */
  atUs: moment,
  /** What must be taken from a worker's time to get the coordinator's. */
  offsetUs: z.number(),
  /** How far `offsetUs` may be off. */
  errorUs: z.number().min(0),
  /** Questions that were answered. */
  exchanges: count,
});

/** One measurement of a worker's clock against the coordinator's. */
export type ClockEstimate = z.infer<typeof clockEstimate>;

const tracedWorker = z.object({
  worker: name,
  rank: count,
  host: text,
  pid: count,
  /** Before the steps. */
  clock: z.array(clockEstimate).max(1),
});

/** What `Admin.Trace` answers. */
export const traceReplySchema = z.discriminatedUnion('kind', [
  z.object({
    kind: z.literal('traceStarted'),
    run: text,
    firstStep: count,
    steps: count,
    /** By rank. */
    workers: z.array(tracedWorker).max(maxWorkers),
  }),
  z.object({ kind: z.literal('tracePart'), worker: name, spans }),
  z.object({
    kind: z.literal('traceEnded'),
    workers: z
      .array(
        z.object({
          worker: name,
          /** Before and after the steps. */
          clock: z.array(clockEstimate).max(2),
          /** Spans that there was no room for. */
          dropped: count,
          /** Why not all of it is there; empty when it is. */
          trouble: text,
        }),
      )
      .max(maxWorkers),
  }),
]);

export type TraceReply = z.infer<typeof traceReplySchema>;
export type TraceStarted = TraceReply & { readonly kind: 'traceStarted' };
export type TraceEnded = TraceReply & { readonly kind: 'traceEnded' };
