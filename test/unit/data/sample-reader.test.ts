// What bounds the reading of samples: the semaphore, and the cache of decoded pictures.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { Pixels } from '../../../dataset/decode.js';
import { createPixelCache, createSemaphore } from '../../../worker/data/sample-reader.js';

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
