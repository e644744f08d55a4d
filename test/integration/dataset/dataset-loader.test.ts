import assert from 'node:assert/strict';
import { mkdtemp, open, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { before, test } from 'node:test';
import { decodePicture } from '../../../dataset/decode.js';
import { openPictureSource } from '../../../dataset/picture-source.js';
import {
  readDatasetIndex,
  type DatasetIndex,
  type DatasetSample,
} from '../../../dataset/dataset-index.js';
import { packDataset } from '../../../dataset/pack.js';
import { splitSamples } from '../../../dataset/samples.js';
import { samplesOf, type SampleOrder } from '../../../shared/plan/samples.js';
import { leavesOf, shareOf } from '../../../shared/plan/reduction.js';
import { OperatorError } from '../../../shared/problems.js';
import { openStore } from '../../../shared/store/open-store.js';
import { downsampleBicubic } from '../../../worker/data/bicubic.js';
import {
  createLoader,
  type Loader,
  type LoaderOptions,
  type MicroBatch,
} from '../../../worker/data/loader.js';
import { chooseCut } from '../../../worker/data/patch.js';
import { SampleError } from '../../../worker/data/sample-reader.js';
import { loadTestFaces, testFolder } from '../../support/tiny-run.js';
import { facesFolder } from '../../support/pictures.js';

let url: string;
const folder = testFolder();
let index: DatasetIndex;
let train: DatasetSample[];
let held: DatasetSample[];
let order: SampleOrder;

before(async () => {
  url = `file://${folder}`;
  const target = openStore(url);
  const source = await openPictureSource(facesFolder);
  await packDataset({ source, target, minSize: 64, shardMib: 64, strict: true, force: false });
  ({ index } = await readDatasetIndex(target));
  ({ train, test: held } = splitSamples(index, 1 / 6));
  order = { seed: 9, samples: train.length, microShards: 6, microShardSize: 3 };
});
const plain = { crop: 48, flip: true, resize: 0, seed: 9, cacheMib: 64, threads: 1 };

function loaderOf(changes: Partial<LoaderOptions> = {}): Loader {
  const dataset = { storeUrl: url, index, samples: train, order, aheadMicroShards: 4 };
  return createLoader({ ...dataset, ...plain, ...changes });
}

type Batches = Record<string, MicroBatch>;

/** Takes the leaves of a range of steps, in turn. */
async function takeAll(
  loader: Loader,
  from: number,
  to: number,
  leaves: readonly number[],
): Promise<Batches> {
  const batches: Batches = {};
  loader.start(from, leaves);
  for (let step = from; step < to; step++)
    for (const leaf of leaves) batches[`${step}/${leaf}`] = await loader.take(step, leaf);
  return batches;
}

async function withLoader<T>(
  changes: Partial<LoaderOptions>,
  use: (loader: Loader) => Promise<T>,
): Promise<T> {
  const loader = loaderOf(changes);
  try {
    return await use(loader);
  } finally {
    await loader.close();
  }
}

const all = [0, 1, 2, 3, 4, 5];

test('micro-shards are the same whichever threads, lookahead, cache, ranks and first step', async () => {
  const reference = await withLoader({}, (loader) => takeAll(loader, 0, 5, all));
  const many = { threads: 2, aheadMicroShards: 40, cacheMib: 1 };
  const variants = [
    { first: 0, leaves: all, changes: { threads: 3, aheadMicroShards: 1, cacheMib: 0 } },
    { first: 2, leaves: leavesOf(shareOf(1, 4, 6)), changes: many },
    { first: 3, leaves: leavesOf(shareOf(2, 4, 6)), changes: many },
  ];
  for (const { first, leaves, changes } of variants) {
    const batches = await withLoader(changes, (loader) => takeAll(loader, first, 5, leaves));
    assert.equal(Object.keys(batches).length, (5 - first) * leaves.length);
    for (const [name, { hr, lr }] of Object.entries(batches)) {
      assert.ok(Buffer.from(hr.buffer).equals(Buffer.from(reference[name].hr.buffer)), name);
      assert.ok(Buffer.from(lr.buffer).equals(Buffer.from(reference[name].lr.buffer)), name);
    }
  }
  const distinct = new Set(Object.values(reference).map(({ hr }) => hr.join()));
  assert.equal(distinct.size, 30, 'and no two of them are alike');
});

test('a micro-shard is the crops of its samples, in both resolutions', async () => {
  const batches = await withLoader({ threads: 2 }, (loader) => takeAll(loader, 3, 5, [4]));
  const store = openStore(url);
  const side = plain.crop;
  const flips = new Set<boolean>();
  for (const step of [3, 4]) {
    const { hr, lr } = batches[`${step}/4`];
    assert.deepEqual([hr.length, lr.length], [3 * side * side * 3, (3 * side * side * 3) / 16]);
    for (const [slot, { sample, epoch }] of samplesOf(order, step, 4).entries()) {
      const { offset, bytes } = train[sample];
      const file = await store.get('shard-000000.tar', { start: offset, end: offset + bytes });
      const picture = await decodePicture(file);
      const cut = chooseCut({ seed: plain.seed, epoch, sample }, picture, side, true);
      flips.add(cut.flipped);
      const pixels = Uint8Array.from({ length: side * side * 3 }, (_, i) => {
        const [x, y] = [Math.floor(i / 3) % side, Math.floor(i / 3 / side)];
        const at = cut.x + (cut.flipped ? side - 1 - x : x);
        return picture.data[((cut.y + y) * picture.width + at) * 3 + (i % 3)];
      });
      const small = new Float32Array(pixels.length / 16);
      downsampleBicubic(pixels, side, side, small);
      const place = slot * pixels.length;
      assert.deepEqual(
        hr.subarray(place, place + pixels.length),
        Float32Array.from(pixels, (value) => value / 127.5 - 1),
      );
      assert.deepEqual(lr.subarray(place / 16, (place + pixels.length) / 16), small);
    }
  }
  assert.equal(flips.size, 2, 'both kinds were among them');
});

test('degraded low resolutions are the same whoever makes them, and the originals stay', async () => {
  const degradation = { blur: [0.2, 2], noise: [0, 20], jpeg: [30, 95] };
  const plainly = await withLoader({}, (loader) => takeAll(loader, 1, 3, [0, 5]));
  const once = await withLoader({ degradation }, (loader) => takeAll(loader, 1, 3, [0, 5]));
  const again = await withLoader({ degradation, threads: 2, aheadMicroShards: 1 }, (loader) =>
    takeAll(loader, 2, 3, [5]),
  );
  assert.deepEqual(again['2/5'], once['2/5']);
  for (const [name, { hr, lr }] of Object.entries(once)) {
    assert.deepEqual(hr, plainly[name].hr, name);
    const errors = lr.map((value, i) => Math.abs(value - plainly[name].lr[i]));
    const mean = errors.reduce((sum, error) => sum + error, 0) / errors.length;
    assert.ok(mean > 0.002 && mean < 0.1, `${name}: ${mean}`);
  }
});

test('starting anew goes on from there, and what was not taken is given up', async () => {
  const reference = await withLoader({}, (loader) => takeAll(loader, 0, 8, [2, 3]));
  await withLoader({ threads: 2 }, async (loader) => {
    loader.start(0, all);
    // In one turn of the event loop: nothing can be ready yet.
    const first = loader.take(0, 0);
    loader.start(7, [2, 3]);
    await assert.rejects(first, /started anew/);
    assert.deepEqual(await loader.take(7, 2), reference['7/2']);
    assert.deepEqual(await loader.take(7, 3), reference['7/3']);
    await assert.rejects(loader.take(7, 3), /out of turn: 2 of step 8 is next/);
  });
});

test('starting what is started goes on with it, until something is taken', async () => {
  const reference = await withLoader({}, (loader) => takeAll(loader, 0, 2, [2, 3]));
  await withLoader({ threads: 2 }, async (loader) => {
    loader.start(0, [2, 3]);
    loader.start(0, [2, 3]);
    assert.deepEqual(await loader.take(0, 2), reference['0/2']);
    loader.start(0, [2, 3]);
    assert.deepEqual(await loader.take(0, 2), reference['0/2']);
    assert.deepEqual(await loader.take(0, 3), reference['0/3']);
  });
});

test('pictures are scaled before they are cut', async () => {
  const options = { resize: 64, crop: 64, flip: false, cacheMib: 0 };
  const { hr } = await withLoader(options, (loader) => takeAll(loader, 0, 1, [0])).then(
    (batches) => batches['0/0'],
  );
  const { sample } = samplesOf(order, 0, 0)[0];
  const { offset, bytes } = train[sample];
  const range = { start: offset, end: offset + bytes };
  const file = await openStore(url).get('shard-000000.tar', range);
  const picture = await decodePicture(file, () => ({ width: 64, height: 64 }));
  assert.deepEqual(
    hr.subarray(0, picture.data.length),
    Float32Array.from(picture.data, (value) => value / 127.5 - 1),
  );
});

test('pictures smaller than the crop are refused before anything is read', () => {
  assert.throws(
    () => loaderOf({ crop: 144 }),
    (error) => {
      assert.ok(error instanceof OperatorError);
      assert.match(error.message, /128x128.*at least 144x144/);
      return true;
    },
  );
});

test('a sample that can’t be read fails its micro-shard by name; the others go on', async () => {
  const broken = await mkdtemp(join(tmpdir(), 'lockstep-broken-'));
  try {
    const target = openStore(`file://${broken}`);
    const source = await openPictureSource(facesFolder);
    await packDataset({ source, target, minSize: 64, shardMib: 64, strict: true, force: false });
    const { sample } = samplesOf(order, 0, 1)[0];
    const { key, offset, bytes } = train[sample];
    const shard = await open(join(broken, 'shard-000000.tar'), 'r+');
    await shard.write(Buffer.alloc(bytes), 0, bytes, offset);
    await shard.close();
    await withLoader({ storeUrl: `file://${broken}`, threads: 2 }, async (loader) => {
      loader.start(0, all);
      await loader.take(0, 0);
      await assert.rejects(loader.take(0, 1), (error) => {
        assert.ok(error instanceof SampleError);
        assert.deepEqual(
          [error.place.key, error.place.shard, error.place.offset],
          [key, 'shard-000000.tar', offset],
        );
        assert.ok(error.isSpoiled);
        assert.match(
          error.reason,
          /^its SHA-256 is \w+, and the index says .*lockstep dataset verify/,
        );
        return true;
      });
      assert.ok((await loader.take(0, 2)).hr.length > 0);
    });
    await rm(join(broken, 'shard-000000.tar'));
    await withLoader({ storeUrl: `file://${broken}` }, async (loader) => {
      loader.start(0, all);
      await assert.rejects(loader.take(0, 0), /shard-000000\.tar.*does not exist/);
    });
  } finally {
    await rm(broken, { recursive: true, force: true });
  }
});

test('a closed loader gives nothing, to those who wait neither', async () => {
  const loader = loaderOf({ threads: 2 });
  loader.start(0, all);
  const waiting = assert.rejects(loader.take(0, 0), /closed/);
  await loader.close();
  await waiting;
  await assert.rejects(loader.take(0, 1), /closed/);
  await loader.close();
});

test('test faces are whole pictures in a fair order, cut to a multiple of four', async () => {
  const store = openStore(url);
  const faces = await loadTestFaces({ store, index, samples: held, resize: 0, limit: 5 });
  assert.deepEqual(
    faces.map(({ key }) => key),
    held.slice(0, 5).map(({ key }) => key),
  );
  const genders = new Set(held.map(({ key }) => key.split('/')[0]));
  assert.equal(genders.size, 2, 'the first are not all from one folder');
  for (const { width, height, hr, lr } of faces) {
    assert.deepEqual([width, height, hr.length, lr.length], [128, 128, 49152, 3072]);
    const pixels = Uint8Array.from(hr, (value) => Math.round((value + 1) * 127.5));
    const small = new Float32Array(3072);
    downsampleBicubic(pixels, 128, 128, small);
    assert.deepEqual(lr, small);
  }
  const options = { store, index, samples: held, resize: 66, limit: 1, maxSide: 50 };
  const [cut] = await loadTestFaces(options);
  assert.deepEqual([cut.width, cut.height], [48, 48]);
});
