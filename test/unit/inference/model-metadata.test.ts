import assert from 'node:assert/strict';
import { test } from 'node:test';
import { formatMetadata, parseMetadata } from '../../../inference/model-metadata.js';
import { appendMetadata, readMetadata } from '../../../inference/model-metadata.js';

const texts = formatMetadata({ scale: 4, radius: 41 });

test('metadata survives the way through a file', () => {
  // Field 1 (ir_version) = 8, and field 7 (graph) with two bytes that are not looked at.
  const model = Uint8Array.from([0x08, 8, 0x3a, 2, 0xff, 0xff]);
  const read = readMetadata(appendMetadata(model, texts));
  assert.deepEqual(read, texts);
  assert.deepEqual(parseMetadata(read), { metadata: { scale: 4, radius: 41 } });
});

test('what is no protobuf message gives nothing', () => {
  assert.equal(readMetadata(Buffer.from('<!DOCTYPE html><p>Not found')), undefined);
  assert.equal(readMetadata(Uint8Array.from([0x3a, 200, 1])), undefined);
});

test('every value that is not a generator’s is a problem', () => {
  const keysOf = (changes: Record<string, string>) => {
    const parsed = parseMetadata({ ...texts, ...changes });
    return 'problems' in parsed ? parsed.problems.map(({ key }) => key) : [];
  };
  assert.deepEqual(keysOf({}), []);
  assert.deepEqual(keysOf({ 'lockstep.format': 'other/1' }), ['lockstep.format']);
  assert.deepEqual(keysOf({ 'lockstep.scale': '0', 'lockstep.radius': '1e9' }), [
    'lockstep.scale',
    'lockstep.radius',
  ]);
});
