// What an operator hears of the split of a dataset.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { DatasetSample } from '../../../dataset/dataset-index.js';
import {
  heldOutShares,
  identityOf,
  nameSome,
  splitNotices,
  splitSamples,
} from '../../../dataset/samples.js';

const samples = (count: number, sumOf: (i: number) => string | undefined): DatasetSample[] =>
  Array.from({ length: count }, (_, i) => ({
    ...{ key: `k${i}`, shard: 0, offset: 512 * i, bytes: 100, width: 64, height: 64 },
    sha256: sumOf(i),
  }));

function noticesOf(list: DatasetSample[], testFraction: number): string[] {
  return splitNotices(splitSamples({ samples: list }, testFraction), testFraction);
}

test('a split that holds none out is said, unless none was to be held out', () => {
  const few = samples(3, String);
  assert.match(noticesOf(few, 1e-9).join(), /holds out none of 3 pictures: nothing is evaluated/);
  assert.deepEqual(noticesOf(few, 0), []);
  assert.deepEqual(noticesOf(samples(100, String), 0.2), []);
});

test('pictures that are held out and trained on as well are counted and named', () => {
  const [text = ''] = noticesOf(
    samples(100, (i) => String(i % 50)),
    0.2,
  );
  assert.match(text, /^\d+ of the \d+ pictures that are held out are trained on.*: "k/);
  assert.deepEqual(
    noticesOf(
      samples(100, () => undefined),
      0.2,
    ),
    [],
    'the first format',
  );
});

test('the shares at pack are those of the split', () => {
  const list = samples(500, String);
  for (const { testFraction, samples: held } of heldOutShares(list))
    assert.equal(splitSamples({ samples: list }, testFraction).test.length, held);
});

test('long lists of names are cut', () => {
  assert.equal(nameSome(['a', 'b']), '"a", "b"');
  assert.match(nameSome([...'abcdefgh']), /^"a", .*"e", and 3 more$/);
});

test('split by identity, no person is on both sides, and single pictures stand alone', () => {
  const keys = Array.from({ length: 200 }, (_, i) => `faces/${i >> 1}_0${i % 2}`);
  const list = samples(200, String).map((sample, i) => ({ ...sample, key: keys[i] }));
  const { train, test: held } = splitSamples({ samples: list }, 0.2, 'identity');
  const trained = new Set(train.map(({ key }) => identityOf(key)));
  assert.ok(held.length > 20 && held.length < 60, `${held.length} held out`);
  assert.deepEqual(
    held.filter(({ key }) => trained.has(identityOf(key))),
    [],
  );
  assert.equal(identityOf('faces/017_03'), 'faces/017');
  assert.equal(identityOf('a_b/017'), 'a_b/017');
  assert.equal(identityOf('faces/_17'), 'faces/_17', 'a name of an identity is not empty');
});
