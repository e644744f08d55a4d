// Readers of what comes over the network: requests, frames and messages, as bytes of protobuf or of
// our own headers, checked as the programs check them.

import fc from 'fast-check';
import { boundLength, loadService, toWire } from '../../../shared/control/codec.js';
import { coordinatorMessageSchema, workerMessageSchema } from '../../../shared/control/messages.js';
import { fromCoordinator, fromWorker } from '../../../shared/control/tracing.js';
import { decodeFrame, createFrameSerializer } from '../../../worker/exchange/frame.js';
import { loadExchangeMethod, parseRequest } from '../../../worker/exchange/wire.js';
import { serializeHello, serializePull } from '../../../worker/exchange/wire.js';
import {
  createStateSerializer,
  decodeStateFrame,
  headerFrame,
  parseStateHeader,
} from '../../../worker/transfer/state-frame.js';
import { anyValueOf } from '../any-value.js';
import { mutatedBytes, mutatedJson } from './mutations.js';
import type { Reader } from './reader.js';

const never = (): boolean => false;

const { Session: session } = loadService('Control').service;
if (session === undefined) throw new Error('there are no sessions');
const parseWorker = boundLength(session.requestDeserialize as never);

/** Valid messages of a kind of the protocol, drawn once. */
function drawn(schema: never, encode: (message: object) => Buffer): Buffer[] {
  return fc.sample(anyValueOf(schema), { seed: 5, numRuns: 40 }).map(encode);
}

const workerMessages = drawn(workerMessageSchema as never, (message) =>
  session.requestSerialize(toWire(message as never)),
);
const coordinatorMessages = drawn(coordinatorMessageSchema as never, (message) =>
  session.responseSerialize(toWire(message as never)),
);

/** What protobufjs and the checks throw for a message that is none: an Error, not a TypeError. */
const isBadMessage = (error: unknown): boolean =>
  error instanceof Error &&
  /^a bad |^a message |^invalid wire type|^index out of range|nesting depth|^invalid/.test(
    error.message,
  );

const hello = serializeHello({
  ...{ generation: 1, fromRank: 0, fromWorker: 'w-0', fromIncarnation: 1, toWorker: 'w-1' },
  ...{ worldSize: 2, microShards: 4, chunkBytes: 1024, precision: 'float32', lane: 0, lanes: 1 },
} as never);
const pull = serializePull({
  ...{ generation: 1, step: 3, phase: 'reduce', firstChunk: 0, endChunk: 2 },
  shape: { exact: 3, gradients: 9, factors: 0 },
} as never);
const requests = [hello, pull].map((bytes) => Buffer.from(bytes));

const frame = createFrameSerializer()({
  header: { kind: 'reduce', generation: 1, step: 2, chunk: 0, start: 0, end: 1, bytes: 16 },
  values: new Uint8Array(16),
} as never);

const stateHeader = {
  step: 3,
  bytes: 9,
  digest: '0'.repeat(16),
  updates: { g: 1 },
  skippedInARow: 0,
};
const serializeState = createStateSerializer(1024);
const stateFrames = [
  Buffer.from(serializeState(headerFrame(1, stateHeader as never))),
  Buffer.from(serializeState({ kind: 'chunk', generation: 1, payload: new Uint8Array(9) })),
];
const { requestDeserialize: parseStateRequest, requestSerialize } = loadExchangeMethod('State');
const stateRequest = requestSerialize({ generation: 1, step: 2, fromWorker: 'w' });

export const messageReaders: readonly Reader[] = [
  {
    name: "worker's message",
    input: mutatedBytes(workerMessages),
    valid: workerMessages,
    runs: 600,
    read: (bytes) => fromWorker(parseWorker(bytes)),
    refuses: isBadMessage,
  },
  {
    name: "coordinator's message",
    input: mutatedBytes(coordinatorMessages),
    valid: coordinatorMessages,
    runs: 600,
    read: (bytes) => fromCoordinator(session.responseDeserialize(bytes) as never),
    refuses: isBadMessage,
  },
  {
    name: 'request of the exchange',
    input: mutatedBytes(requests),
    valid: requests,
    runs: 600,
    read: (bytes) => parseRequest(bytes),
    refuses: isBadMessage,
  },
  {
    name: 'frame of the exchange',
    input: mutatedBytes([Buffer.from(frame)]),
    valid: [Buffer.from(frame)],
    runs: 600,
    read: (bytes) => {
      const decoded = decodeFrame(bytes);
      if ('header' in decoded && decoded.values.length !== decoded.header.bytes)
        throw new Error('values of another length than the header says');
    },
    refuses: never,
  },
  {
    name: 'frame of a state',
    input: mutatedBytes(stateFrames),
    valid: stateFrames,
    runs: 600,
    read: (bytes) => {
      const decoded = decodeStateFrame(bytes);
      if ('kind' in decoded && decoded.kind === 'header') parseStateHeader(decoded.payload);
    },
    refuses: never,
  },
  {
    name: 'header of a state',
    input: mutatedJson([stateHeader]).map((text) => Buffer.from(text)),
    valid: [Buffer.from(JSON.stringify(stateHeader))],
    read: (bytes) => parseStateHeader(bytes),
    refuses: never,
  },
  {
    name: 'request for a state',
    input: mutatedBytes([stateRequest]),
    valid: [stateRequest],
    read: (bytes) => parseStateRequest(bytes),
    refuses: isBadMessage,
  },
];
