import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { chunkBytes } from '../../../shared/plan/step-vector.js';
import type { FrameHeader, FrameKind } from '../../../worker/exchange/core/messages.js';
import {
  createFrameSerializer,
  decodeFrame,
  frameKinds,
  headerBytes,
  writeHeader,
} from '../../../worker/exchange/frame.js';
import {
  aliveFrame,
  createStateSerializer,
  decodeStateFrame,
  headerFrame,
  maxJsonBytes,
  parseStateHeader,
  stateHeaderBytes,
  type StateFrame,
} from '../../../worker/transfer/state-frame.js';

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
    values: fc.uint8Array({ maxLength: 200 }),
  })
  .map(({ values, ...rest }) => ({ header: { ...rest, bytes: values.length }, values }));

test('what is serialized is decoded again, wherever it lies in memory', () => {
  const serialize = createFrameSerializer();
  fc.assert(
    fc.property(anyFrame, fc.nat({ max: 9 }), ({ header, values }, offset) => {
      const bytes = new Uint8Array(offset + headerBytes + values.byteLength);
      bytes.set(serialize({ header, values }), offset);
      const decoded = decodeFrame(bytes.subarray(offset));
      assert.ok('header' in decoded);
      assert.deepEqual(decoded.header, header);
      assert.deepEqual(decoded.values, values);
    }),
  );
});

test('behind the five bytes of gRPC the values lie aligned, and are not copied', () => {
  const received = Buffer.alloc(5 + headerBytes + 8);
  const header: FrameHeader = {
    kind: 'gather',
    generation: 1,
    step: 2,
    chunk: 3,
    start: 0,
    end: 0,
    bytes: 8,
  };
  writeHeader(new DataView(received.buffer, received.byteOffset), 5, header);
  const decoded = decodeFrame(received.subarray(5));
  assert.ok('values' in decoded);
  assert.equal(decoded.values.buffer, received.buffer);
  assert.equal((decoded.values.byteOffset - received.byteOffset) % 8, 0);
});

test('arbitrary bytes are refused or a frame, never an exception', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 80 }), fc.boolean(), (bytes, looksRight) => {
      if (looksRight) bytes.set([0x4c, 1, 0].slice(0, bytes.length));
      const decoded = decodeFrame(bytes);
      if ('header' in decoded) assert.equal(bytes.length, headerBytes + decoded.header.bytes);
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
  const long = Buffer.alloc(headerBytes + chunkBytes + 1);
  long.set([0x4c, 1, 0]);
  long.writeUInt32LE(chunkBytes + 1, 31);
  assert.ok('refused' in decodeFrame(long));
});

// The frames of a state: what goes in comes out, aligned, and nothing else is taken for one.

const serialize = createStateSerializer(2 * maxJsonBytes);
const header = {
  step: 7,
  bytes: 2 ** 40,
  digest: 'abc',
  updates: { generator: 7, discriminator: 6 },
  skippedInARow: 1,
};

for (const frame of [
  { kind: 'chunk', generation: 2 ** 53 - 1, payload: Uint8Array.of(1, 2, 3) },
  { kind: 'chunk', generation: 1, payload: new Uint8Array(2 * maxJsonBytes).fill(9) },
  aliveFrame(3 * 2 ** 20),
  headerFrame(5, header),
] as const satisfies readonly StateFrame[]) {
  test(`a frame of kind ${frame.kind} and ${frame.payload.length} bytes is read again`, () => {
    const decoded = decodeStateFrame(serialize(frame));
    assert.ok('kind' in decoded);
    const { kind, generation, payload } = decoded;
    assert.deepEqual([kind, generation], [frame.kind, frame.generation]);
    assert.ok(Buffer.from(payload).equals(frame.payload));
  });
}

test('behind the five bytes of gRPC the payload lies aligned', () => {
  assert.equal((5 + stateHeaderBytes) % 4, 0);
});

test('a header is the one that was written', () => {
  assert.deepEqual(parseStateHeader(headerFrame(1, header).payload), header);
});

const chunk = (): Buffer =>
  Buffer.from(serialize({ kind: 'chunk', generation: 1, payload: Uint8Array.of(1) }));

for (const [what, change] of [
  ['another first byte', (bytes: Buffer) => bytes.fill(0x4c, 0, 1)],
  ['an unknown kind', (bytes: Buffer) => bytes.fill(4, 1, 2)],
  ['a third byte', (bytes: Buffer) => bytes.fill(1, 2, 3)],
  ['no payload of a chunk', (bytes: Buffer) => bytes.subarray(0, stateHeaderBytes)],
  ['half a header', (bytes: Buffer) => bytes.subarray(0, 6)],
] as const) {
  test(`a message with ${what} is no frame`, () => {
    assert.ok('kind' in decodeStateFrame(chunk()));
    assert.ok('refused' in decodeStateFrame(change(chunk())));
  });
}
