import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { DatasetIndex } from '../../../dataset/index-format.js';
import { formatIndex } from '../../../dataset/pack.js';
import { maxIndexBytes, parseIndex, readDatasetIndex } from '../../../dataset/read-index.js';
import { OperatorError } from '../../../shared/problems.js';
import type { ObjectStore } from '../../../shared/store/store.js';

const sum = '0'.repeat(64);
const sample = (key: string, offset: number, bytes = 100, shard = 0) => ({
  key,
  shard,
  offset,
  bytes,
  width: 64,
  height: 64,
});
const index = (...samples: DatasetIndex['samples']): DatasetIndex => ({
  format: 'lockstep-dataset/1',
  shards: [{ file: 'shard-000000.tar', bytes: 4096, sha256: sum }],
  samples,
});

const refusals: [string, unknown, RegExp][] = [
  ['no JSON', '{', /a JSON document/],
  ['another format', { ...index(sample('a', 0)), format: 'x' }, /lockstep-dataset\/1/],
  ['an unknown key', { ...index(sample('a', 0)), more: 1 }, /more/],
  ['no samples', index(), /samples/],
  [
    'a file name that leads out',
    { ...index(sample('a', 0)), shards: [{ file: '../../x', bytes: 4096, sha256: sum }] },
    /file/,
  ],
  ['a negative offset', index(sample('a', -1)), /samples\.0\.offset/],
  ['a fractional size', index(sample('a', 0, 1.5)), /samples\.0\.bytes/],
  ['a range beyond the shard', index(sample('a', 4000, 97)), /within the 4096 bytes/],
  ['a shard that is not there', index(sample('a', 0, 1, 1)), /below 1/],
  ['ranges that overlap', index(sample('a', 512), sample('b', 611)), /overlaps/],
  ['a sample inside another', index(sample('a', 512, 1000), sample('b', 600, 10)), /overlaps/],
  ['keys out of order', index(sample('b', 0), sample('a', 512)), /ascending/],
  ['a key twice', index(sample('a', 0), sample('a', 512)), /ascending/],
  [
    'a shard twice',
    { ...index(sample('a', 0)), shards: [index().shards[0], index().shards[0]] },
    /each shard once/,
  ],
];

for (const [what, value, message] of refusals)
  test(`an index with ${what} is refused`, () => {
    const bytes = Buffer.from(typeof value === 'string' ? value : JSON.stringify(value));
    assert.throws(
      () => parseIndex(bytes, 'file://x'),
      (error) => error instanceof OperatorError && message.test(error.message),
    );
  });

test('an index that is sound is read as it was written', () => {
  const sound = index(sample('a', 512), sample('b', 612), sample('c', 0, 512));
  assert.deepEqual(parseIndex(formatIndex(sound), 'file://x'), sound);
});

/** A store that holds nothing but an index of a claimed size. */
function storeOf(bytes: number, read: () => Buffer): ObjectStore {
  const refuse = (): never => {
    throw new Error('not expected');
  };
  return {
    url: 'file://x',
    get: async () => Promise.resolve(read()),
    head: async () => Promise.resolve(bytes < 0 ? undefined : { key: 'index.json', bytes }),
    put: refuse,
    list: refuse,
    delete: refuse,
    close: async () => Promise.resolve(),
  };
}

test('an index that is too large is not even fetched', async () => {
  const store = storeOf(maxIndexBytes + 1, () => assert.fail('fetched'));
  await assert.rejects(readDatasetIndex(store), /allowed: 1 to \d+ bytes/);
});

test('a missing index says what to do', async () => {
  const store = storeOf(-1, () => assert.fail('fetched'));
  await assert.rejects(readDatasetIndex(store), /lockstep dataset pack/);
});

test('another sum than the pinned one is refused', async () => {
  const bytes = formatIndex(index(sample('a', 0)));
  const store = storeOf(bytes.length, () => bytes);
  const { sha256 } = await readDatasetIndex(store);
  assert.equal((await readDatasetIndex(store, sha256)).sha256, sha256);
  await assert.rejects(readDatasetIndex(store, sum), /not the one this run started with/);
});
