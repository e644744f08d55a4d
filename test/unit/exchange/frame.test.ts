import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';

import { chunkFloats } from '../../../shared/plan/reduction.js';
import {
  decodeFrame,
  frameKinds,
  headerBytes,
  writeHeader,
  createFrameSerializer,
} from '../../../worker/exchange/frame.js';
import type { FrameHeader, FrameKind } from '../../../worker/exchange/core/messages.js';

const uint32 = fc.integer({ min: 0, max: 0xffff_ffff });
const safe = fc.integer({ min: 0, max: Number.MAX_SAFE_INTEGER });
const anyFrame = fc
  .record({
    kind: fc.constantFrom(...(Object.keys(frameKinds) as FrameKind[])),
    generation: safe,
    step: safe,
    chunk: uint32,
    start: uint32,
    end: uint32,
    values: fc.float32Array({ maxLength: 50 }),
  })
  .map(({ values, ...rest }) => ({ header: { ...rest, floats: values.length }, values }));

test('what is serialized is decoded again, wherever it lies in memory', () => {
  const serialize = createFrameSerializer();
  fc.assert(
    fc.property(anyFrame, fc.nat({ max: 9 }), ({ header, values }, offset) => {
      const bytes = new Uint8Array(offset + headerBytes + values.byteLength);
      bytes.set(serialize({ header, values }), offset);
      const decoded = decodeFrame(bytes.subarray(offset));
      assert.ok('header' in decoded);
      assert.deepEqual(decoded.header, header);
      assert.deepEqual(new Uint8Array(decoded.values.slice().buffer), bytesOf(values));
    }),
  );
});

function bytesOf(values: Float32Array): Uint8Array {
  return new Uint8Array(values.slice().buffer);
}

test('behind the five bytes of gRPC the values are viewed, not copied', () => {
  const received = Buffer.alloc(5 + headerBytes + 8);
  const header: FrameHeader = {
    kind: 'gather',
    generation: 1,
    step: 2,
    chunk: 3,
    start: 0,
    end: 0,
    floats: 2,
  };
  writeHeader(new DataView(received.buffer, received.byteOffset), 5, header);
  const decoded = decodeFrame(received.subarray(5));
  assert.ok('values' in decoded);
  assert.equal(decoded.values.buffer, received.buffer);
});

test('arbitrary bytes are refused or a frame, never an exception', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 80 }), fc.boolean(), (bytes, looksRight) => {
      if (looksRight) bytes.set([0x4c, 1, 0].slice(0, bytes.length));
      const decoded = decodeFrame(bytes);
      if ('header' in decoded) assert.equal(bytes.length, headerBytes + 4 * decoded.header.floats);
      else assert.ok(decoded.refused.length > 0);
    }),
  );
});

test('a generation above 2^53 and a frame above a chunk are refused', () => {
  const bytes = Buffer.alloc(headerBytes);
  bytes.set([0x4c, 3, 0]);
  bytes.writeBigUInt64LE(2n ** 60n, 3);
  assert.deepEqual(decodeFrame(bytes), {
    refused: 'a frame whose generation or step is above 2^53',
  });
  const long = Buffer.alloc(headerBytes + 4 * (chunkFloats + 1));
  long.set([0x4c, 1, 0]);
  long.writeUInt32LE(chunkFloats + 1, 31);
  assert.ok('refused' in decodeFrame(long));
});
