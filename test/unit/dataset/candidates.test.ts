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
  const found = candidates.map(({ key, ending }) => `${key} ${ending}`);
  assert.deepEqual(found, ['B webp', 'a tif', 'a/b.c gif', 'a/z jpg', 'b png']);
});

test('what can be no sample is skipped with its reason', () => {
  const reasons: [string, number, RegExp][] = [
    ['labels.csv', 5, /^not a picture/],
    ['noending', 5, /^not a picture/],
    ['a/.jpg', 5, /^not a picture/],
    ['a//b.jpg', 5, /a part that is empty/],
    ['../b.jpg', 5, /a part that is empty/],
    [`${'x'.repeat(513)}.jpg`, 5, /longer than 512/],
    ['empty.jpg', 0, /^zero bytes$/],
    ['giant.jpg', 2 ** 30, /larger than \d+ bytes/],
  ];
  const before = { file: 'loop', reason: 'a link to a folder that was already read' };
  const files = reasons.map(([path, bytes]) => ({ path, bytes }));
  const { candidates, skipped } = chooseCandidates({ files, skipped: [before] });
  assert.deepEqual(candidates, []);
  assert.deepEqual(
    skipped.map(({ file }) => file),
    ['loop', ...reasons.map(([file]) => file)],
  );
  reasons.forEach(([, , reason], i) => assert.match(skipped[i + 1].reason, reason));
});

test('two files of one key are a problem that names both', () => {
  assert.throws(
    () => chooseCandidates(listing('x.jpg', 'x.png', 'x.PNG', 'y.jpg')),
    (error) => {
      assert.ok(error instanceof OperatorError);
      assert.equal(error.problems.length, 2);
      for (const name of [/x\.png/, /x\.PNG/, /x\.jpg|"x"/]) assert.match(error.message, name);
      return true;
    },
  );
});
