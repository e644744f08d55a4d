// The frame of the wire: a fixed binary header and float32 values. Whether a frame is wanted is the
// core's business.

import { chunkFloats } from '../../shared/plan/reduction.js';
import type { FrameHeader, FrameKind } from './core/messages.js';
import type { FrameToSend } from './served-stream.js';

/** Length of the header, 3 mod 4: behind gRPC's five bytes the values lie aligned. */
export const headerBytes = 35;

/** The longest frame there is. */
export const maxFrameBytes = headerBytes + 4 * chunkFloats;

/** Kinds of frames, with their numbers on the wire (see exchange.proto). */
export const frameKinds: Readonly<Record<FrameKind, number>> = {
  reduce: 1,
  gather: 2,
  welcome: 3,
  alive: 4,
};

const magic = 0x4c;
const kindNames = new Map<number, FrameKind>(
  Object.entries(frameKinds).map(([name, number]) => [number, name as FrameKind]),
);

/** A frame as received, or why the bytes are none. */
export type DecodedFrame =
  { readonly header: FrameHeader; readonly values: Float32Array } | { readonly refused: string };

/** Writes `header` at `offset` of `target`; `headerBytes` bytes. */
export function writeHeader(target: DataView, offset: number, header: FrameHeader): void {
  target.setUint8(offset, magic);
  target.setUint8(offset + 1, frameKinds[header.kind]);
  target.setUint8(offset + 2, 0);
  target.setBigUint64(offset + 3, BigInt(header.generation), true);
  target.setBigUint64(offset + 11, BigInt(header.step), true);
  target.setUint32(offset + 19, header.chunk, true);
  target.setUint32(offset + 23, header.start, true);
  target.setUint32(offset + 27, header.end, true);
  target.setUint32(offset + 31, header.floats, true);
}

/**
 * Serializes frames into one buffer, reused by the next: grpc-js (1.14, `serializeMessage`)
 * copies the bytes behind its own prefix before it does anything else. A fresh megabyte a frame
 * costs more in page faults than the copy. The values lie aligned, or copying from shared
 * memory is five times slower.
 */
export function createFrameSerializer(): (frame: FrameToSend) => Buffer {
  const start = 40 - headerBytes;
  const buffer = new ArrayBuffer(start + maxFrameBytes);
  const view = new DataView(buffer);
  const payload = new Float32Array(buffer, start + headerBytes);
  return ({ header, values }) => {
    writeHeader(view, start, header);
    if (values !== undefined) payload.set(values);
    return Buffer.from(buffer, start, headerBytes + 4 * header.floats);
  };
}

/**
 * Reads a received message. The values are a view of `bytes` when they lie aligned, else a copy;
 * either way the caller owns them. Refuses whatever is not exactly one frame.
 */
export function decodeFrame(bytes: Uint8Array): DecodedFrame {
  if (bytes.length < headerBytes) return { refused: `a frame of ${bytes.length} bytes` };
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const kind = kindNames.get(view.getUint8(1));
  if (view.getUint8(0) !== magic || kind === undefined || view.getUint8(2) !== 0) {
    return { refused: `no frame: starts with bytes ${bytes.subarray(0, 3).join(' ')}` };
  }
  const header = readHeader(view, kind);
  if (!Number.isSafeInteger(header.generation) || !Number.isSafeInteger(header.step)) {
    return { refused: 'a frame whose generation or step is above 2^53' };
  }
  const payloadBytes = bytes.length - headerBytes;
  if (header.floats > chunkFloats || payloadBytes !== 4 * header.floats) {
    return { refused: `a frame that says ${header.floats} floats and has ${payloadBytes} bytes` };
  }
  return { header, values: valuesOf(bytes, header.floats) };
}

function readHeader(view: DataView, kind: FrameKind): FrameHeader {
  return {
    kind,
    generation: Number(view.getBigUint64(3, true)),
    step: Number(view.getBigUint64(11, true)),
    chunk: view.getUint32(19, true),
    start: view.getUint32(23, true),
    end: view.getUint32(27, true),
    floats: view.getUint32(31, true),
  };
}

function valuesOf(bytes: Uint8Array, floats: number): Float32Array {
  const offset = bytes.byteOffset + headerBytes;
  if (offset % 4 === 0) return new Float32Array(bytes.buffer, offset, floats);
  return new Float32Array(bytes.slice(headerBytes).buffer);
}
