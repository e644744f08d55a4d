import assert from 'node:assert/strict';
import { test } from 'node:test';
import { chooseCandidates } from '../../../dataset/candidates.js';

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

test('of two files with one key the first is taken, and the others are named', () => {
  const { candidates, skipped } = chooseCandidates(listing('x.png', 'x.jpg', 'x.webp', 'y.jpg'));
  assert.deepEqual(
    candidates.map(({ key, file }) => `${key} ${file.path}`),
    ['x x.jpg', 'y y.jpg'],
  );
  assert.deepEqual(
    skipped.map(({ file }) => file),
    ['x.png', 'x.webp'],
  );
  for (const { reason } of skipped) assert.match(reason, /that of "x\.jpg".*rename it/);
});

test('a name is one key in both of its Unicode forms, whichever the file system gives', () => {
  const [composed, decomposed] = ['Zoë/é.jpg'.normalize('NFC'), 'Zoë/é.jpg'.normalize('NFD')];
  assert.notEqual(composed, decomposed);
  const keys = [composed, decomposed].map((path) => {
    const { candidates } = chooseCandidates(listing(path));
    assert.equal(candidates[0]?.file.path, path);
    return candidates[0]?.key;
  });
  assert.deepEqual(keys, ['Zoë/é', 'Zoë/é']);
  const both = chooseCandidates(listing(composed, decomposed));
  assert.deepEqual([both.candidates.length, both.skipped.length], [1, 1]);
});

test('pictures of a format that is not read are named with it', () => {
  const { skipped } = chooseCandidates(listing('IMG_1.HEIC', 'a.bmp', 'b.jxl', 'c.CR2'));
  const reasons = skipped.map(({ reason }) => reason);
  assert.match(reasons[0], /^HEIC is not read: convert it to JPEG or PNG first \(with /);
  assert.match(reasons[1], /^BMP is not read/);
  assert.match(reasons[2], /^JPEG XL is not read/);
  assert.match(reasons[3], /^camera raw is not read/);
});
