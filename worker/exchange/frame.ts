// The frame of the wire: a fixed binary header and the bytes of a chunk. Whether a frame is wanted
// is the core's business, and so is what the bytes are.

import { chunkBytes } from '../../shared/plan/step-vector.js';
import type { FrameHeader, FrameKind } from './core/messages.js';
import type { FrameToSend } from './served-stream.js';

/** Length of the header, 3 mod 8: behind gRPC's five bytes the values lie aligned. */
export const headerBytes = 35;

/** The longest frame there is. */
export const maxFrameBytes = headerBytes + chunkBytes;

/** Kinds of frames, with their numbers on the wire (see exchange.proto). */
export const frameKinds: Readonly<Record<FrameKind, number>> = {
  reduce: 1,
  gather: 2,
  welcome: 3,
  alive: 4,
  leaf: 5,
};

const magic = 0x4c;
const kindNames = new Map<number, FrameKind>(
  Object.entries(frameKinds).map(([name, number]) => [number, name as FrameKind]),
);

/** A frame as received, or why the bytes are none. */
export type DecodedFrame =
  { readonly header: FrameHeader; readonly values: Uint8Array } | { readonly refused: string };

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
  target.setUint32(offset + 31, header.bytes, true);
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
  const payload = new Uint8Array(buffer, start + headerBytes);
  return ({ header, values }) => {
    writeHeader(view, start, header);
    if (values !== undefined) payload.set(values);
    return Buffer.from(buffer, start, headerBytes + header.bytes);
  };
}

/**
 * Reads a received message; the values are a view of `bytes`. Refuses whatever is not exactly one
 * frame.
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
  if (header.bytes > chunkBytes || payloadBytes !== header.bytes) {
    return { refused: `a frame that says ${header.bytes} bytes and has ${payloadBytes}` };
  }
  return { header, values: bytes.subarray(headerBytes) };
}

function readHeader(view: DataView, kind: FrameKind): FrameHeader {
  return {
    kind,
    generation: Number(view.getBigUint64(3, true)),
    step: Number(view.getBigUint64(11, true)),
    chunk: view.getUint32(19, true),
    start: view.getUint32(23, true),
    end: view.getUint32(27, true),
    bytes: view.getUint32(31, true),
  };
}
