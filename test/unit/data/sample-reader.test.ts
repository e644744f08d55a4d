// The reading of samples: what is wrong once and what is wrong twice, and what bounds it, the
// semaphore and the cache of decoded pictures.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { Pixels } from '../../../dataset/decode.js';
import { sha256Of } from '../../../shared/sha256.js';
import {
  ObjectNotFound,
  StoreUnavailable,
  type ByteRange,
  type ObjectStore,
} from '../../../shared/store/store.js';
import {
  createPixelCache,
  createSampleReader,
  createSemaphore,
  SampleError,
  type SamplePlace,
} from '../../../worker/data/sample-reader.js';
import { noise } from '../../support/pictures.js';

const settled = async (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

for (const [name, count, bytes, sizes, before, after] of [
  ['as many as the count allows, in the order of the calls', 2, 1000, [1, 1, 1, 1], 2, 3],
  ['as many as the bytes allow, and none overtakes', 10, 100, [60, 60, 10], 1, 3],
  ['work above the limit alone', 10, 100, [500, 1], 1, 2],
] as const)
  test(`the semaphore admits ${name}`, async () => {
    const semaphore = createSemaphore(count, bytes);
    const admitted: number[] = [];
    for (const [i, size] of sizes.entries())
      void semaphore.acquire(size).then(() => admitted.push(i));
    await settled();
    assert.deepEqual(admitted, [...sizes.keys()].slice(0, before));
    semaphore.release(sizes[0]);
    await settled();
    assert.deepEqual(admitted, [...sizes.keys()].slice(0, after));
  });

const uses = fc.array(
  fc.record({
    key: fc.constantFrom('a', 'b', 'c', 'd', 'e'),
    bytes: fc.integer({ min: 1, max: 60 }),
  }),
  { maxLength: 80 },
);

test('the cache is bounded and forgets the longest unused first', () => {
  fc.assert(
    fc.property(uses, fc.integer({ min: 0, max: 150 }), (sequence, maxBytes) => {
      const cache = createPixelCache(maxBytes);
      // The same, as a list from the longest unused to the last used.
      let list: { key: string; pixels: Pixels }[] = [];
      const listed = (): number => list.reduce((sum, { pixels }) => sum + pixels.data.length, 0);
      for (const { key, bytes } of sequence) {
        const found = list.find((entry) => entry.key === key);
        if (found) list = [...list.filter((entry) => entry !== found), found];
        assert.equal(cache.get(key), found?.pixels);
        if (found === undefined || bytes % 3 === 0) {
          const pixels = { data: new Uint8Array(bytes), width: 1, height: 1 };
          cache.set(key, pixels);
          list = list.filter((entry) => entry.key !== key);
          while (bytes <= maxBytes && listed() + bytes > maxBytes) list.shift();
          if (bytes <= maxBytes) list.push({ key, pixels });
        }
        assert.equal(cache.bytes, listed());
        assert.ok(cache.bytes <= maxBytes);
      }
    }),
  );
});

type Answer = (shard: Buffer, range: ByteRange) => Buffer;

const right: Answer = (shard, { start, end }) => shard.subarray(start, end);
const flipped: Answer = (shard, range) => {
  const bytes = Buffer.from(right(shard, range));
  bytes[bytes.length >> 1] ^= 1;
  return bytes;
};
const short: Answer = (shard, { start, end }) => shard.subarray(start, end - 1);
const long: Answer = (shard, { start, end }) => shard.subarray(start, end + 1);
const missing: Answer = () => {
  throw new ObjectNotFound('file://faces', 'shard-000000.tar');
};
const away: Answer = () => {
  throw new StoreUnavailable('file://faces', 'HTTP 503');
};

/** Reads one sample from a store that answers so, in turn; `claims`: what the index says of it. */
async function readWith(answers: readonly Answer[], claims: Partial<SamplePlace> = {}) {
  const picture = await noise(80, 72).jpeg().toBuffer();
  const shard = Buffer.concat([Buffer.alloc(512), picture, Buffer.alloc(512)]);
  const place: SamplePlace = {
    ...{ key: 'ada', shard: 'shard-000000.tar', offset: 512, bytes: picture.length },
    ...{ width: 80, height: 72, sha256: sha256Of(picture), ...claims },
  };
  let asked = 0;
  const notices: string[] = [];
  const store = {
    url: 'file://faces',
    get: async (_: string, range: ByteRange) => answers[asked++](shard, range),
  } as Partial<ObjectStore> as ObjectStore;
  const onNotice = (text: string): void => void notices.push(text);
  const reader = createSampleReader({ store, cacheBytes: 0, resize: 0, onNotice });
  const read = await reader.read(place).catch((error: unknown) => error);
  return { read, asked, notices };
}

for (const [what, once] of Object.entries({ flipped, short, long, missing }))
  test(`a sample that is ${what} once is read again, and that is said`, async () => {
    const { read, asked, notices } = await readWith([once, right]);
    assert.equal((read as Pixels).data.length, 80 * 72 * 3);
    assert.equal(asked, 2);
    assert.match(notices.join('|'), /^sample "ada" in shard-000000\.tar at byte 512: .*read again/);
  });

for (const [what, answers, claims, reason, isSpoiled] of [
  ['flipped twice', [flipped, flipped], {}, /its SHA-256 is \w{64}, and the index says/, true],
  ['flipped, then short', [flipped, short], {}, /bytes were read there, and the index/, true],
  ['missing twice', [missing, missing], {}, /does not exist/, true],
  ['larger than the index says', [right, right], { width: 40 }, /80x72, and the index/, true],
  ['flipped, without a sum', [short, short], { sha256: undefined }, /bytes were read/, true],
  ['in a store that is away', [away], {}, /^HTTP 503$/, false],
] as const)
  test(`a sample that is ${what} fails by name`, async () => {
    const { read, asked, notices } = await readWith(answers, claims);
    assert.ok(read instanceof SampleError, String(read));
    assert.match(read.message, /^sample "ada" in shard-000000\.tar at byte 512: /);
    assert.match(read.reason, reason);
    assert.equal(/lockstep dataset verify file:\/\/faces/.test(read.reason), isSpoiled);
    assert.deepEqual([read.isSpoiled, asked, notices], [isSpoiled, answers.length, []]);
  });
