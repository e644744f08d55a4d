import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  formatIndex,
  hasSums,
  maxIndexBytes,
  readDatasetIndex,
  type DatasetIndex,
} from '../../../dataset/dataset-index.js';
import { OperatorError } from '../../../shared/problems.js';
import type { ObjectStore } from '../../../shared/store/store.js';

const sum = '0'.repeat(64);
const sample = (key: string, offset: number, bytes = 100, shard = 0) => ({
  ...{ key, shard, offset, bytes },
  ...{ width: 64, height: 64, sha256: sum },
});
const index = (...samples: DatasetIndex['samples']): DatasetIndex => ({
  format: 'lockstep-dataset/2',
  shards: [{ file: 'shard-000000.tar', bytes: 4096, sha256: sum }],
  samples,
});

/** A store that holds nothing but an index, perhaps of another size than it claims. */
function storeOf(body: Buffer | undefined, bytes = body?.length ?? 0): ObjectStore {
  const info = { key: 'index.json', bytes, etag: '' };
  return {
    url: 'file://x',
    get: async () => body ?? assert.fail('fetched'),
    head: async () => (bytes === 0 ? undefined : info),
  } as Partial<ObjectStore> as ObjectStore;
}

const one = index(sample('a', 0));
const refusals: [string, unknown, RegExp][] = [
  ['no JSON', '{', /a JSON document/],
  ['another format', { ...one, format: 'x' }, /lockstep-dataset\/2/],
  ['a sample without a sum', index({ ...sample('a', 0), sha256: undefined }), /samples\.0\.sha256/],
  ['a sum that is none', index({ ...sample('a', 0), sha256: 'x' }), /samples\.0\.sha256/],
  [
    'sums that its format does not have',
    { ...one, format: 'lockstep-dataset/1' },
    /nothing in lockstep-dataset\/1/,
  ],
  ['an unknown key', { ...one, more: 1 }, /more/],
  ['no samples', index(), /samples/],
  [
    'a file name that leads out',
    { ...one, shards: [{ file: '../../x', bytes: 4096, sha256: sum }] },
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
  ['a shard twice', { ...one, shards: [one.shards[0], one.shards[0]] }, /each shard once/],
];

for (const [what, value, message] of refusals)
  test(`an index with ${what} is refused`, async () => {
    const bytes = Buffer.from(typeof value === 'string' ? value : JSON.stringify(value));
    await assert.rejects(
      readDatasetIndex(storeOf(bytes)),
      (error) => error instanceof OperatorError && message.test(error.message),
    );
  });

test('an index that is sound is read as it was written, unless another sum is pinned', async () => {
  const sound = index(sample('a', 512), sample('b', 612), sample('c', 0, 512));
  const store = storeOf(formatIndex(sound));
  const { index: read, sha256 } = await readDatasetIndex(store);
  assert.deepEqual(read, sound);
  assert.equal((await readDatasetIndex(store, sha256)).sha256, sha256);
  await assert.rejects(readDatasetIndex(store, sum), /not the one this run started with/);
});

test('of many samples that are wrong, the first are named', async () => {
  const wrong = Array.from({ length: 1000 }, () => ({ ...sample('a', 0), sha256: 7, odd: 1 }));
  const bytes = Buffer.from(JSON.stringify({ ...one, samples: wrong }));
  await assert.rejects(readDatasetIndex(storeOf(bytes)), (error) => {
    assert.ok(error instanceof OperatorError);
    assert.equal(error.problems.length, 20);
    assert.match(error.message, /samples\.0\.sha256: given 7.*\n.*samples\.0: .*odd/);
    return true;
  });
});

test('an index of the first format is read as it was written, without sums', async () => {
  const { sha256: _, ...plain } = sample('a', 512);
  const before: DatasetIndex = { ...index(plain), format: 'lockstep-dataset/1' };
  const { index: read } = await readDatasetIndex(storeOf(formatIndex(before)));
  assert.deepEqual([read, hasSums(read)], [before, false]);
});

test('an index that is missing or too large is not even fetched', async () => {
  await assert.rejects(readDatasetIndex(storeOf(undefined)), /lockstep dataset pack/);
  const large = storeOf(undefined, maxIndexBytes + 1);
  await assert.rejects(readDatasetIndex(large), /allowed: 1 to \d+ bytes/);
});
