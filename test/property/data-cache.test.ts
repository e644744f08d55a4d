import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { Pixels } from '../../dataset/decode.js';
import { createPixelCache } from '../../worker/data/pixel-cache.js';

const uses = fc.array(
  fc.record({
    key: fc.constantFrom('a', 'b', 'c', 'd', 'e'),
    bytes: fc.integer({ min: 1, max: 60 }),
  }),
  { maxLength: 80 },
);
const pixelsOf = (bytes: number): Pixels => ({ data: new Uint8Array(bytes), width: 1, height: 1 });

/** The same, as a list from the longest unused to the last used. */
function createListCache(maxBytes: number): {
  get(key: string): Pixels | undefined;
  set(key: string, pixels: Pixels): void;
  bytes(): number;
} {
  let list: { key: string; pixels: Pixels }[] = [];
  const bytes = (): number => list.reduce((sum, { pixels }) => sum + pixels.data.length, 0);
  return {
    bytes,
    get(key) {
      const found = list.find((entry) => entry.key === key);
      if (found) list = [...list.filter((entry) => entry !== found), found];
      return found?.pixels;
    },
    set(key, pixels) {
      list = list.filter((entry) => entry.key !== key);
      if (pixels.data.length > maxBytes) return;
      while (bytes() + pixels.data.length > maxBytes) list.shift();
      list.push({ key, pixels });
    },
  };
}

test('the cache is bounded and forgets the longest unused first', () => {
  fc.assert(
    fc.property(uses, fc.integer({ min: 0, max: 150 }), (sequence, maxBytes) => {
      const cache = createPixelCache(maxBytes);
      const list = createListCache(maxBytes);
      for (const { key, bytes } of sequence) {
        const kept = cache.get(key);
        assert.equal(kept, list.get(key));
        if (kept === undefined || bytes % 3 === 0) {
          const pixels = pixelsOf(bytes);
          cache.set(key, pixels);
          list.set(key, pixels);
        }
        assert.equal(cache.bytes, list.bytes());
        assert.ok(cache.bytes <= maxBytes);
      }
    }),
  );
});
