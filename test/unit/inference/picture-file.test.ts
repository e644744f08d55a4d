import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import sharp from 'sharp';
import { PngWriter, type PngChannels } from '../../../inference/picture-file.js';
import { createRandomStream } from '../../../shared/random.js';

async function temporaryFile(t: TestContext): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'lockstep-png-'));
  t.after(() => rm(folder, { recursive: true, force: true }));
  return join(folder, 'picture.png');
}

for (const channels of [1, 2, 3, 4] as const satisfies readonly PngChannels[])
  test(`another reader finds every pixel: ${channels} channels`, async (t) => {
    const [width, height] = [61, 47];
    const stream = createRandomStream(channels);
    const data = Uint8Array.from({ length: width * height * channels }, (_, i) =>
      i % 3 === 0 ? 256 * stream.uniform() : i,
    );
    const path = await temporaryFile(t);
    const png = new PngWriter(path, width, height, channels);
    const row = width * channels;
    for (const [from, to] of [
      [0, 1],
      [1, 30],
      [30, 47],
    ] as const)
      await png.write(data.subarray(from * row, to * row));
    await png.close();
    const metadata = await sharp(path).metadata();
    assert.equal(metadata.channels, channels);
    // sharp shows grey as three equal colours.
    const { data: shown, info } = await sharp(path).raw().toBuffer({ resolveWithObject: true });
    const kept = channels < 3 ? [0, ...(channels === 2 ? [info.channels - 1] : [])] : [0, 1, 2, 3];
    const got = shown.filter((_, i) => kept.slice(0, channels).includes(i % info.channels));
    assert.deepEqual(new Uint8Array(got), data);
  });

test('missing rows and rows too many are refused', async (t) => {
  const png = new PngWriter(await temporaryFile(t), 2, 2, 3);
  await assert.rejects(png.write(new Uint8Array(18)), /not up to 2 rows/);
  await assert.rejects(png.close(), /2 rows are missing/);
  png.abort();
});

test('a file that cannot be written fails, and does not hang', async () => {
  const png = new PngWriter('/nonexistent/picture.png', 100, 100, 3);
  await assert.rejects(async () => {
    await png.write(new Uint8Array(30_000));
    await png.close();
  }, /ENOENT/);
  png.abort();
});
