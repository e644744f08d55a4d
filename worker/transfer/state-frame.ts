// What carries a state: the request, the frames (a short binary header and a payload), and every
// limit of the transfer. Reaching a limit is an event.

import { z } from 'zod';

import type { Generation, Step } from '../../shared/words.js';
import type { StateHeader } from '../network/ports.js';
import { parseJson } from '../../shared/bounded-json.js';
import { firstIssue } from '../../shared/problems.js';

/** The limits of both sides; times are milliseconds. */
export interface TransferLimits {
  /** Bytes of a whole state. */
  readonly stateBytes: number;
  /** Longest chunk. */
  readonly chunkBytes: number;
  /** States served at one time; who asks beyond that is to ask again. */
  readonly servings: number;
  /** Requests of worlds that we have not entered yet, waiting for us at one time. */
  readonly heldRequests: number;
  /** How long such a request waits. */
  readonly holdMs: number;
  /** Chunks handed to gRPC and not yet taken by it, for each state served. */
  readonly chunksInFlight: number;
  /** How long the compute thread may take for one answer, and the receiver for one chunk. */
  readonly stallMs: number;
  /** A server that has nothing to write says that it is alive this often. */
  readonly aliveMs: number;
  /** So many bytes within `aliveMs` are a sign of life, as a whole frame is. */
  readonly aliveBytes: number;
  /** Without a sign of life, while we read: the transfer has failed. */
  readonly silenceMs: number;
  /** A server that is busy is asked again after this long, and for this long in all. */
  readonly retryMs: number;
  readonly busyMs: number;
  /** Chunks given to the compute thread and not yet taken; beyond that nothing is read. */
  readonly chunksUntaken: number;
}

/** What production runs with. */
export const defaultTransferLimits: TransferLimits = {
  stateBytes: 64 * 1024 ** 3,
  chunkBytes: 1024 ** 2,
  servings: 16,
  heldRequests: 256,
  holdMs: 10_000,
  chunksInFlight: 2,
  stallMs: 60_000,
  aliveMs: 500,
  aliveBytes: 1_024,
  silenceMs: 3_000,
  retryMs: 250,
  busyMs: 60_000,
  chunksUntaken: 4,
};

/** Who asks for which state, in which world. */
export interface StateRequest {
  readonly generation: Generation;
  readonly step: Step;
  readonly fromWorker: string;
}

/** Length of the header, 3 mod 4: behind gRPC's five bytes the payload lies aligned. */
export const stateHeaderBytes = 11;

/** Longest JSON of a StateHeader. */
export const maxJsonBytes = 64 * 1024;

/** Kinds of frames, with their numbers on the wire (see exchange.proto). */
const kinds = { header: 1, chunk: 2, alive: 3 } as const;

export type StateFrameKind = keyof typeof kinds;

const magic = 0x53;
const kindNames = new Map<number, StateFrameKind>(
  Object.entries(kinds).map(([name, number]) => [number, name as StateFrameKind]),
);
const noBytes = new Uint8Array(0);

/** A frame; the payload of one received is a view of its message. */
export interface StateFrame {
  readonly kind: StateFrameKind;
  readonly generation: Generation;
  readonly payload: Uint8Array;
}

/** A frame that says only that its sender is alive. */
export function aliveFrame(generation: Generation): StateFrame {
  return { kind: 'alive', generation, payload: noBytes };
}

/** The frame of a state's header. */
export function headerFrame(generation: Generation, header: StateHeader): StateFrame {
  return { kind: 'header', generation, payload: Buffer.from(JSON.stringify(header)) };
}

/** Serializes frames into one buffer, reused by the next; see `createFrameSerializer`. */
export function createStateSerializer(maxPayload: number): (frame: StateFrame) => Buffer {
  const buffer = Buffer.alloc(stateHeaderBytes + maxPayload);
  return ({ kind, generation, payload }) => {
    buffer.writeUInt8(magic, 0);
    buffer.writeUInt8(kinds[kind], 1);
    buffer.writeBigUInt64LE(BigInt(generation), 3);
    buffer.set(payload, stateHeaderBytes);
    return buffer.subarray(0, stateHeaderBytes + payload.length);
  };
}

/** Reads a received message; refuses whatever is not exactly one frame. */
export function decodeStateFrame(bytes: Buffer): StateFrame | { readonly refused: string } {
  if (bytes.length < stateHeaderBytes) return { refused: `a frame of ${bytes.length} bytes` };
  const kind = kindNames.get(bytes.readUInt8(1));
  if (bytes.readUInt8(0) !== magic || kind === undefined || bytes.readUInt8(2) !== 0) {
    return { refused: `no frame: starts with bytes ${bytes.subarray(0, 3).join(' ')}` };
  }
  const payload = bytes.subarray(stateHeaderBytes);
  if (kind === 'chunk' && payload.length === 0) return { refused: 'an empty chunk' };
  if (kind === 'header' && payload.length > maxJsonBytes) {
    return { refused: `a header of ${payload.length} bytes` };
  }
  return { kind, generation: Number(bytes.readBigUInt64LE(3)), payload };
}

const count = z.number().int().min(0).max(Number.MAX_SAFE_INTEGER);
const headerSchema = z.strictObject({
  step: count,
  bytes: count,
  digest: z.string().max(200),
  updates: z.record(z.string().max(200), count),
  skippedInARow: count,
});

/** The StateHeader in the payload of a HEADER, or why there is none. */
export function parseStateHeader(payload: Uint8Array): StateHeader | { readonly refused: string } {
  let json: unknown;
  try {
    json = parseJson(Buffer.from(payload).toString('utf8'));
  } catch {
    return { refused: 'a header that is no JSON' };
  }
  const parsed = headerSchema.safeParse(json);
  if (parsed.success) return parsed.data;
  return { refused: `a header of which ${firstIssue(parsed.error)}` };
}
