import assert from 'node:assert/strict';
import { readFile, readdir, rm, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { benchSamples } from '../../../bench/samples.js';
import { decodePicture } from '../../../dataset/decode.js';
import { createStoreSource, openPictureSource } from '../../../dataset/picture-source.js';
import { packDataset, type PackOptions, type PackResult } from '../../../dataset/pack.js';
import { readDatasetIndex } from '../../../dataset/dataset-index.js';
import { shardLengthProblems, verifyDataset } from '../../../dataset/shards.js';
import { messageOf, OperatorError } from '../../../shared/problems.js';
import { openStore } from '../../../shared/store/open-store.js';
import { testFolder } from '../../support/tiny-run.js';
import {
  badPictures,
  facesFolder,
  goodPictures,
  noise,
  writeFiles,
} from '../../support/pictures.js';

const root = testFolder();
const limits = { minSize: 64, shardMib: 64, strict: false, force: false };

async function pack(
  from: string,
  to: string,
  options: Partial<PackOptions> = {},
): Promise<PackResult> {
  const source = await openPictureSource(from);
  return packDataset({ source, target: openStore(`file://${to}`), ...limits, ...options });
}

async function bytesBelow(folder: string): Promise<Record<string, string>> {
  const names = (await readdir(folder)).filter((name) => !name.startsWith('.')).sort();
  const bytes = await Promise.all(names.map((name) => readFile(join(folder, name), 'base64')));
  return Object.fromEntries(names.map((name, i) => [name, bytes[i]]));
}

test('every kind of good picture is packed, every kind of bad one is named with its reason', async () => {
  const from = join(root, 'kinds');
  const good = await goodPictures();
  const bad = await badPictures();
  const badBytes = Object.entries(bad).map(([name, { bytes }]) => [`bad/${name}`, bytes] as const);
  await writeFiles(from, { ...good, ...Object.fromEntries(badBytes), '.hidden/x.jpg': 'x' });
  const result = await pack(from, join(root, 'kinds-out'));
  const reasons = new Map(result.skipped.map(({ file, reason }) => [file, reason]));
  assert.deepEqual([...reasons.keys()], badBytes.map(([name]) => name).sort());
  for (const [name, { reason }] of Object.entries(bad))
    assert.match(reasons.get(`bad/${name}`)!, reason, name);

  const store = openStore(`file://${join(root, 'kinds-out')}`);
  const { index, sha256 } = await readDatasetIndex(store, result.indexSha256);
  assert.equal(sha256, result.indexSha256);
  assert.equal(result.samples, Object.keys(good).length);
  assert.deepEqual(await verifyDataset(store, index), []);
  for (const [name, bytes] of Object.entries(good)) {
    const sample = index.samples.find(({ key }) => key === name.replace(/\.[^.]*$/, ''))!;
    const range = { start: sample.offset, end: sample.offset + sample.bytes };
    const packed = await store.get(index.shards[sample.shard].file, range);
    assert.deepEqual(packed, Buffer.from(bytes), name);
    const size = name === 'turned.jpg' ? [72, 80] : [80, 72];
    assert.deepEqual([sample.width, sample.height], size, name);
    const { data } = await decodePicture(packed);
    assert.equal(data.length, 80 * 72 * 3, `${name} is 8-bit RGB`);
  }
});

test('side by side, a broken picture gets the reason that it gets alone', async () => {
  const reasonOf = (bytes: Uint8Array): Promise<string> =>
    decodePicture(bytes).then(() => 'none', messageOf);
  const good = Object.values(await goodPictures()).map((bytes) => ({ bytes, alone: 'none' }));
  const bad: typeof good = [];
  for (const { bytes } of Object.values(await badPictures()))
    bad.push({ bytes, alone: await reasonOf(bytes) });
  assert.ok(new Set(bad.map(({ alone }) => alone)).size > 3);
  const mixed = Array.from({ length: 12 }, () => [...bad, ...good]).flat();
  const reasons = await Promise.all(mixed.map(({ bytes }) => reasonOf(bytes)));
  assert.deepEqual(
    reasons,
    mixed.map(({ alone }) => alone),
  );
});

test('transparency lies on white, and orientation turns the pixels', async () => {
  const clear = await noise(8, 8).ensureAlpha(0).png().toBuffer();
  assert.ok((await decodePicture(clear)).data.every((value) => value === 255));
  const upright = await decodePicture(await noise(16, 8).png().toBuffer());
  const turned = await decodePicture(
    await noise(16, 8).withMetadata({ orientation: 3 }).png().toBuffer(),
  );
  const mirrored = Array.from({ length: 16 * 8 }, (_, i) => 16 * 8 - 1 - i);
  const expected = mirrored.flatMap((i) => [...upright.data.subarray(i * 3, i * 3 + 3)]);
  assert.deepEqual([...turned.data], expected);
});

test('the same pictures give the same bytes, in shards of the size asked for', async () => {
  const out = ['a', 'b'].map((name) => join(root, name));
  const from = join(root, 'noisy');
  const pictures = await Promise.all(
    Array.from({ length: 9 }, (_, i) => noise(300, 300, i).png().toBuffer()),
  );
  await writeFiles(from, Object.fromEntries(pictures.map((bytes, i) => [`${i}.png`, bytes])));
  const results = await Promise.all(out.map((to) => pack(from, to, { shardMib: 1 })));
  assert.equal(results[0].shards, 3);
  assert.deepEqual(results[0], results[1]);
  const [first, second] = await Promise.all(out.map(bytesBelow));
  assert.deepEqual(Object.keys(first), [
    'index.json',
    'shard-000000.tar',
    'shard-000001.tar',
    'shard-000002.tar',
  ]);
  assert.deepEqual(first, second);
});

test('real faces are packed whole, from a folder and from a store alike', async () => {
  const seen: number[] = [];
  const result = await pack(facesFolder, join(root, 'faces'), {
    strict: true,
    onProgress: ({ phase, done, total }) => {
      assert.equal(total, 72);
      if (phase === 'packing') seen.push(done);
    },
  });
  assert.deepEqual([result.samples, result.skipped.length, result.shards], [72, 0, 1]);
  assert.deepEqual(
    seen,
    Array.from({ length: 72 }, (_, i) => i + 1),
  );
  const again = await packDataset({
    source: createStoreSource(openStore(`file://${facesFolder}`)),
    target: openStore(`file://${join(root, 'faces-store')}`),
    ...limits,
  });
  assert.equal(again.indexSha256, result.indexSha256);
  const bench = await benchSamples(openStore(`file://${join(root, 'faces')}`), 10);
  assert.ok(bench.samples === 10 && bench.decode_ms > 0, JSON.stringify(bench));
});

test('a dataset is replaced only by force, and then without leftovers', async () => {
  const to = join(root, 'twice');
  const from = join(root, 'one');
  await writeFiles(from, { 'x.png': await noise(300, 300).png().toBuffer() });
  await pack(join(root, 'noisy'), to, { shardMib: 1 });
  const before = await bytesBelow(to);
  await assert.rejects(pack(from, to), /--force/);
  assert.deepEqual(await bytesBelow(to), before);
  await pack(from, to, { force: true });
  assert.deepEqual(Object.keys(await bytesBelow(to)), ['index.json', 'shard-000000.tar']);
  await rm(join(to, 'index.json'));
  await assert.rejects(pack(from, to), /it holds shard-000000\.tar/);
});

test('strict refuses before anything is written, and names every file', async () => {
  const to = join(root, 'strict');
  const names = Object.keys(await badPictures());
  await assert.rejects(pack(join(root, 'kinds'), to, { strict: true }), (error) => {
    assert.ok(error instanceof OperatorError);
    for (const name of names) assert.match(error.message, new RegExp(`bad/${name}`));
    return true;
  });
  await assert.rejects(readdir(to), /ENOENT/);
});

test('by force, but without one good picture, what was there stays', async () => {
  const from = join(root, 'hopeless');
  await writeFiles(from, { 'x.jpg': 'x', 'y.png': '' });
  await pack(join(root, 'one'), join(root, 'kept'));
  const before = await bytesBelow(join(root, 'kept'));
  await assert.rejects(pack(from, join(root, 'kept'), { force: true }), /x\.jpg.*\n.*y\.png/);
  assert.deepEqual(await bytesBelow(join(root, 'kept')), before);
});

test('links are followed once, loops end, and dead ends are named', async () => {
  const from = join(root, 'links');
  await writeFiles(from, { 'real/x.png': await noise(64, 64).png().toBuffer() });
  await symlink('real', join(from, 'a-link'));
  await symlink('..', join(from, 'real', 'loop'));
  await symlink('nowhere.png', join(from, 'dead.png'));
  await symlink('real/x.png', join(from, 'y.png'));
  const result = await pack(from, join(root, 'links-out'));
  assert.equal(result.samples, 2);
  assert.deepEqual(result.skipped, [
    { file: 'a-link', reason: 'a link to a folder that was already read' },
    { file: 'dead.png', reason: 'a link that leads nowhere' },
    { file: 'real/loop', reason: 'a link to a folder that was already read' },
  ]);
});

test('what systems leave beside pictures counts as nothing, in folders and in stores', async () => {
  const from = join(root, 'clutter');
  const left = ['desktop.ini', 'Thumbs.db', '.DS_Store', '._x.jpg', '__MACOSX/x.jpg', 'a/Icon\r'];
  await writeFiles(from, {
    'a/x.jpg': await noise(64, 64).jpeg().toBuffer(),
    ...Object.fromEntries(left.map((name) => [name, 'any'])),
  });
  const result = await pack(from, join(root, 'clutter-out'), { strict: true });
  assert.deepEqual([result.samples, result.skipped], [1, []]);
  const again = await packDataset({
    source: createStoreSource(openStore(`file://${from}`)),
    target: openStore(`file://${join(root, 'clutter-store')}`),
    ...{ ...limits, strict: true },
  });
  assert.deepEqual(again, result);
});

const isLinux = process.platform === 'linux';
test('a name that is no UTF-8 is said to be one', { skip: !isLinux }, async () => {
  const from = join(root, 'latin');
  await writeFiles(from, { 'x.png': await noise(64, 64).png().toBuffer() });
  const name = Buffer.from(`${from}/caf\u00e9.png`, 'latin1');
  await writeFile(name, await noise(64, 64).png().toBuffer());
  const { samples, skipped } = await pack(from, join(root, 'latin-out'));
  assert.deepEqual([samples, skipped.length], [1, 1]);
  assert.match(skipped[0].reason, /not in UTF-8/);
});

test('of pictures whose names differ in the ending alone, one is left out by name', async () => {
  const from = join(root, 'twins');
  const [first, second] = [noise(64, 64, 1), noise(64, 64, 2)];
  await writeFiles(from, {
    'x.jpg': await first.jpeg().toBuffer(),
    'x.png': await second.png().toBuffer(),
  });
  const result = await pack(from, join(root, 'twins-out'));
  assert.equal(result.samples, 1);
  assert.deepEqual(
    result.skipped.map(({ file }) => file),
    ['x.png'],
  );
  await assert.rejects(pack(from, join(root, 'twins-strict'), { strict: true }), /x\.png/);
});

test('a folder that is not there is the operator’s mistake', async () => {
  await assert.rejects(pack(join(root, 'missing'), join(root, 'x')), OperatorError);
});

test('verify finds a flipped bit and its sample, a short shard and a missing one', async () => {
  const to = join(root, 'verify');
  await pack(join(root, 'noisy'), to, { shardMib: 1 });
  const [zero, one, two] = [0, 1, 2].map((i) => join(to, `shard-00000${i}.tar`));
  const flipped = await readFile(zero);
  flipped[5000] ^= 1;
  await writeFile(zero, flipped);
  await writeFile(one, (await readFile(one)).subarray(0, -1));
  await rm(two);
  const store = openStore(`file://${to}`);
  const { index } = await readDatasetIndex(store);
  const problems = await verifyDataset(store, index);
  assert.deepEqual(
    problems.map(({ key }) => key),
    [
      ...['shard-000000.tar', 'sample "0" in shard-000000.tar at byte 512'],
      ...['shard-000001.tar', 'shard-000002.tar'],
    ],
  );
  assert.match(problems[0].allowed, /^the sum/);
  assert.match(String(problems[1].given), /^its SHA-256 is/);
  assert.match(problems[2].allowed, /bytes, as the index says$/);
  const lengths = await shardLengthProblems(store, index);
  assert.deepEqual(lengths, problems.slice(2));
});

test('verify reads every sample, wherever the pieces end that it reads', async () => {
  const to = join(root, 'pieces');
  const from = join(root, 'large');
  const pictures = await Promise.all(
    Array.from({ length: 5 }, (_, i) => noise(1100, 1000, i).png().toBuffer()),
  );
  await writeFiles(from, Object.fromEntries(pictures.map((bytes, i) => [`${i}.png`, bytes])));
  await pack(from, to);
  const store = openStore(`file://${to}`);
  const { index } = await readDatasetIndex(store);
  assert.ok(index.shards[0].bytes > 8 * 1024 * 1024);
  assert.deepEqual(await verifyDataset(store, index), []);
  const claims = { 1: { width: 999 }, 2: { sha256: '0'.repeat(64) }, 4: { bytes: 77 } };
  const samples = index.samples.map((sample) => ({
    ...sample,
    ...(claims as Record<string, object>)[sample.key],
  }));
  const problems = await verifyDataset(store, { ...index, samples });
  const found = problems.map(({ key, given }) => `${key}: ${String(given)}`);
  assert.equal(found.length, 3);
  assert.match(found[0], /^sample "1" .*: it is 1100x1000, and the index says 999x1000/);
  assert.match(found[1], /^sample "2" .*: its SHA-256 is/);
  assert.match(found[2], /^sample "4" .*: its SHA-256 is/);
});

test('duplicates are packed and named', async () => {
  const from = join(root, 'doubles');
  const [one, two] = await Promise.all([1, 2].map((i) => noise(64, 64, i).png().toBuffer()));
  await writeFiles(from, { 'a.png': one, 'b.png': two, 'c/a.png': one, 'd.png': one });
  const result = await pack(from, join(root, 'doubles-out'));
  assert.equal(result.samples, 4);
  assert.deepEqual(result.duplicates, [
    { key: 'c/a', first: 'a' },
    { key: 'd', first: 'a' },
  ]);
  assert.deepEqual(
    result.heldOut.map(({ testFraction }) => testFraction),
    [0.01, 0.05, 0.2],
  );
});
