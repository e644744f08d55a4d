import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import sharp from 'sharp';
import { decodePicture } from '../../../dataset/decode.js';
import {
  encodeHistory,
  encodePng,
  mostFrames,
  thinOut,
} from '../../../inference/pictures/encode.js';
import { createPicture } from '../../../inference/pictures/picture.js';

test('thinning out keeps the first, the last and an even spread', () => {
  assert.deepEqual(thinOut([0, 1, 2, 3, 4, 5, 6, 7, 8, 9], 4), [0, 3, 6, 9]);
  assert.deepEqual(thinOut([0, 1, 2], 4), [0, 1, 2]);
  assert.deepEqual(thinOut([0, 1, 2], 1), [2]);
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 500 }),
      fc.integer({ min: 2, max: 60 }),
      (count, most) => {
        const items = Array.from({ length: count }, (_, i) => i);
        const kept = thinOut(items, most);
        assert.equal(kept.length, Math.min(count, most));
        assert.equal(kept[0], 0);
        assert.equal(kept.at(-1), count - 1);
        const apart = kept.slice(1).map((item, i) => item - (kept[i] ?? 0));
        assert.ok(Math.max(1, ...apart) - Math.min(...apart, Infinity) <= 1);
      },
    ),
  );
});

test('a history is an endless GIF with a caption, that rests on its last frame', async () => {
  const frames = [0, 50, 100].map((step) => ({
    step,
    picture: createPicture(80, 40, [step, 0, 0]),
  }));
  const gif = await encodeHistory(frames);
  const metadata = await sharp(gif, { animated: true }).metadata();
  const { format, pages, loop, width, pageHeight, delay = [] } = metadata;
  assert.deepEqual([format, pages, loop, width, pageHeight], ['gif', 3, 0, 80, 64]);
  assert.equal(delay.length, 3);
  assert.ok(delay[2] > delay[0]);
  const last = await decodePicture(await sharp(gif, { page: 2 }).png().toBuffer());
  assert.ok(Math.abs((last.data.at(-3) ?? 0) - 100) < 8, 'the last frame is the last picture');
});

test('a long history is bounded', async () => {
  const frames = Array.from({ length: 200 }, (_, step) => ({
    step,
    picture: createPicture(160, 8, [step, 255 - step, 0]),
  }));
  const { pages } = await sharp(await encodeHistory(frames), { animated: true }).metadata();
  assert.equal(pages, mostFrames);
});

test('no frames, or frames of different sizes, are refused', async () => {
  await assert.rejects(encodeHistory([]), /needs a frame/);
  const frame = (width: number) => ({ step: 0, picture: createPicture(width, 8, [0, 0, 0]) });
  await assert.rejects(encodeHistory([frame(80), frame(81)]), /of one size/);
});

test('a PNG gives back the pixels, and a grey one gives RGB', async () => {
  const data = Uint8Array.from({ length: 5 * 3 * 3 }, (_, i) => (i * 37) % 256);
  const decoded = await decodePicture(await encodePng({ width: 5, height: 3, data }));
  assert.deepEqual(
    { ...decoded, data: [...decoded.data] },
    { width: 5, height: 3, data: [...data] },
  );
  const raw = { width: 2, height: 1, channels: 1 } as const;
  const grey = await decodePicture(
    await sharp(Buffer.from([0, 80]), { raw })
      .png()
      .toBuffer(),
  );
  assert.deepEqual([...grey.data], [0, 0, 0, 80, 80, 80]);
});
