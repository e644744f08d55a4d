// The frames that carry a state: a short binary header and a payload. Says whether bytes are a
// frame, and whether a HEADER's payload is one; what to do about it is decided elsewhere.

import { z } from 'zod';

import type { Generation } from '../../shared/words.js';
import type { StateHeader } from '../network/ports.js';

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
    json = JSON.parse(Buffer.from(payload).toString('utf8'));
  } catch {
    return { refused: 'a header that is no JSON' };
  }
  const parsed = headerSchema.safeParse(json);
  if (parsed.success) return parsed.data;
  const issue = parsed.error.issues[0];
  return { refused: `a header whose ${issue?.path.join('.') || 'whole'}: ${issue?.message}` };
}
