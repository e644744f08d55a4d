import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import fc from 'fast-check';
import type { DatasetSample } from '../../dataset/dataset-index.js';
import { splitSamples } from '../../dataset/samples.js';

const sampleOf = (key: string): DatasetSample => ({
  ...{ key, shard: 0, offset: 0, bytes: 1, width: 64, height: 64 },
});
const keySets = fc.uniqueArray(fc.string({ minLength: 1, maxLength: 20 }), { maxLength: 60 });
const fractions = fc.double({ min: 0, max: 0.9, noNaN: true });
const keysOf = (samples: readonly DatasetSample[]): string[] => samples.map(({ key }) => key);

test('a sample stays on its side when others come or go', () => {
  fc.assert(
    fc.property(keySets, keySets, fractions, (some, more, fraction) => {
      const few = splitSamples({ samples: some.map(sampleOf) }, fraction);
      const all = [...new Set([...some, ...more])].map(sampleOf);
      const many = splitSamples({ samples: all }, fraction);
      const [train, held] = [new Set(keysOf(many.train)), new Set(keysOf(many.test))];
      assert.ok(keysOf(few.train).every((key) => train.has(key)));
      assert.ok(keysOf(few.test).every((key) => held.has(key)));
      assert.equal(train.size + held.size, all.length);
    }),
  );
});

test('a larger test fraction only adds to the test side', () => {
  fc.assert(
    fc.property(keySets, fractions, fractions, (keys, one, other) => {
      const samples = keys.map(sampleOf);
      const small = splitSamples({ samples }, Math.min(one, other));
      const large = new Set(keysOf(splitSamples({ samples }, Math.max(one, other)).test));
      assert.ok(keysOf(small.test).every((key) => large.has(key)));
    }),
  );
});

test('the side is decided by the first 32 bits of the SHA-256 of the key', () => {
  const keys = Array.from({ length: 2000 }, (_, i) => `face/${i}`);
  const { train, test: held } = splitSamples({ samples: keys.map(sampleOf) }, 0.2);
  const expected = keys.filter((key) => {
    const digest = createHash('sha256').update(key).digest('hex');
    return parseInt(digest.slice(0, 8), 16) / 4294967296 < 0.2;
  });
  assert.deepEqual(keysOf(held).sort(), expected.sort());
  assert.ok(Math.abs(held.length / keys.length - 0.2) < 0.03, `${held.length} of ${keys.length}`);
  const order = keys.filter((key) => !expected.includes(key));
  assert.deepEqual(keysOf(train), order, 'training samples stay in the order of the index');
});

test('a fraction of zero holds nothing out', () => {
  assert.deepEqual(splitSamples({ samples: ['a', 'b'].map(sampleOf) }, 0).test, []);
});
