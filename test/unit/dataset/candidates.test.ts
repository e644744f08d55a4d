import assert from 'node:assert/strict';
import { test } from 'node:test';
import { chooseCandidates } from '../../../dataset/candidates.js';
import { OperatorError } from '../../../shared/problems.js';

const listing = (...paths: string[]) => ({
  files: paths.map((path) => ({ path, bytes: 10 })),
  skipped: [],
});

test('pictures are sorted by key, whatever the order of the listing', () => {
  const { candidates } = chooseCandidates(
    listing('b.png', 'a/z.JPG', 'B.webp', 'a.tif', 'a/b.c.gif'),
  );
  assert.deepEqual(
    candidates.map(({ key, ending }) => [key, ending]),
    [
      ['B', 'webp'],
      ['a', 'tif'],
      ['a/b.c', 'gif'],
      ['a/z', 'jpg'],
      ['b', 'png'],
    ],
  );
});

test('what can be no sample is skipped with its reason', () => {
  const long = `${'x'.repeat(513)}.jpg`;
  const { candidates, skipped } = chooseCandidates({
    files: [
      { path: 'labels.csv', bytes: 5 },
      { path: 'noending', bytes: 5 },
      { path: 'a/.jpg', bytes: 5 },
      { path: 'a//b.jpg', bytes: 5 },
      { path: '../b.jpg', bytes: 5 },
      { path: long, bytes: 5 },
      { path: 'empty.jpg', bytes: 0 },
      { path: 'giant.jpg', bytes: 2 ** 30 },
    ],
    skipped: [{ file: 'loop', reason: 'a link to a folder that was already read' }],
  });
  assert.deepEqual(candidates, []);
  const reasons = new Map(skipped.map(({ file, reason }) => [file, reason]));
  assert.equal(reasons.size, 9);
  assert.match(reasons.get('labels.csv')!, /^not a picture/);
  assert.match(reasons.get('noending')!, /^not a picture/);
  assert.match(reasons.get('a/.jpg')!, /^not a picture/);
  assert.match(reasons.get('a//b.jpg')!, /a part that is empty/);
  assert.match(reasons.get('../b.jpg')!, /a part that is empty/);
  assert.match(reasons.get(long)!, /longer than 512/);
  assert.equal(reasons.get('empty.jpg'), 'zero bytes');
  assert.match(reasons.get('giant.jpg')!, /larger than \d+ bytes/);
});

test('two files of one key are a problem that names both', () => {
  assert.throws(
    () => chooseCandidates(listing('x.jpg', 'x.png', 'x.PNG', 'y.jpg')),
    (error) => {
      assert.ok(error instanceof OperatorError);
      assert.equal(error.problems.length, 2);
      assert.match(error.message, /x\.png/);
      assert.match(error.message, /x\.PNG/);
      assert.match(error.message, /x\.jpg|"x"/);
      return true;
    },
  );
});
