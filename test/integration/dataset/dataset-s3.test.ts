// A dataset in a bucket on a real S3 server: packed there, packed again from there, read by the
// loader's threads.

import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { openPictureSource } from '../../../dataset/picture-source.js';
import { packDataset } from '../../../dataset/pack.js';
import { readDatasetIndex } from '../../../dataset/dataset-index.js';
import { verifyDataset } from '../../../dataset/shards.js';
import { openStore } from '../../../shared/store/open-store.js';
import { createLoader, type MicroBatch } from '../../../worker/data/loader.js';
import { testFolder } from '../../support/tiny-run.js';
import { noise, writeFiles } from '../../support/pictures.js';
import { openS3Place, type S3Place } from '../../support/servers.js';

const folder = testFolder();
let place: S3Place;
before(async () => {
  place = await openS3Place();
});
after(async () => {
  await place.close();
});

const limits = { minSize: 64, shardMib: 1, strict: false, force: false };

/** Packs and gives the index's sum; whatever was opened is closed again. */
async function pack(from: string, to: string, isForced = false): Promise<string> {
  const options = { s3: place.options };
  const source = await openPictureSource(from, options);
  const target = openStore(to, options);
  try {
    const result = await packDataset({ source, target, ...limits, force: isForced });
    assert.deepEqual(
      result.skipped.map(({ file }) => file),
      ['empty.jpg', 'words.png'],
    );
    const { index } = await readDatasetIndex(target, result.indexSha256);
    assert.deepEqual(await verifyDataset(target, index), []);
    return result.indexSha256;
  } finally {
    await target.close();
    await source.close();
  }
}

async function firstBatch(storeUrl: string): Promise<MicroBatch> {
  const storeOptions = { s3: place.options, onRetry: () => undefined };
  const store = openStore(storeUrl, storeOptions);
  const { index } = await readDatasetIndex(store);
  await store.close();
  const { samples } = index;
  const order = { seed: 3, samples: samples.length, microShards: 2, microShardSize: 4 };
  const patches = { crop: 64, flip: true, resize: 0, seed: 3, cacheMib: 1 };
  const ahead = { threads: 1, aheadMicroShards: 2 };
  const dataset = { storeUrl, storeOptions, index, samples, order };
  const loader = createLoader({ ...dataset, ...patches, ...ahead });
  try {
    loader.start(0, [0, 1]);
    return await loader.take(0, 0);
  } finally {
    await loader.close();
  }
}

test('pictures come from a bucket and go into one, and the bytes are those of a folder', async () => {
  const pictures = await Promise.all(
    Array.from({ length: 8 }, (_, i) => noise(300, 260, i).png().toBuffer()),
  );
  const files = Object.fromEntries(pictures.map((bytes, i) => [`some/${i}.png`, bytes]));
  const photos = join(folder, 'photos');
  await writeFiles(photos, { ...files, 'empty.jpg': '', 'words.png': 'words' });
  const bucket = `s3://${place.bucket}`;
  const uploaded = openStore(`${bucket}/photos`, { s3: place.options });
  for (const [key, bytes] of Object.entries(files)) await uploaded.put(key, bytes);
  await uploaded.put('empty.jpg', Buffer.alloc(0));
  await uploaded.put('words.png', Buffer.from('words'));
  await uploaded.close();

  const local = `file://${join(folder, 'packed')}`;
  const sum = await pack(photos, local);
  assert.equal(await pack(photos, `${bucket}/one`), sum);
  assert.equal(await pack(`${bucket}/photos`, `${bucket}/two`), sum);
  await assert.rejects(pack(photos, `${bucket}/one`), /--force/);
  assert.equal(await pack(photos, `${bucket}/one`, true), sum);
  assert.deepEqual(await firstBatch(`${bucket}/two`), await firstBatch(local));
});
