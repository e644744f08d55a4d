// The frames of a state: what goes in comes out, aligned, and nothing else is taken for one.

import assert from 'node:assert/strict';
import { test } from 'node:test';

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
