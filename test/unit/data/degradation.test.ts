// What is done to low resolutions, against formulas written out and against the decoder itself.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import sharp from 'sharp';
import { createRandomStream } from '../../../shared/random.js';
import { runSpecSchema } from '../../../shared/spec/schema.js';
import {
  chooseDegradation,
  degrade,
  gaussian,
  type Degradation,
} from '../../../worker/data/degradation.js';
import { tinyRun } from '../../support/tiny-run.js';

const [width, height] = [24, 16];
const nothing: Degradation = { blur: 0, noise: 0, grain: 1, jpeg: undefined };
const stream = createRandomStream(2);
const picture = {
  ...{ width, height },
  data: Uint8Array.from({ length: width * height * 3 }, () => 256 * stream.uniform()),
};
const grey = { ...picture, data: new Uint8Array(picture.data.length).fill(128) };

const meanOf = (values: readonly number[]) =>
  values.reduce((sum, value) => sum + value, 0) / values.length;

test('nothing asked is nothing done', async () => {
  assert.deepEqual(await degrade(picture, nothing), picture.data);
});

for (const deviation of [0.05, 0.7, 1.6, 8])
  test(`the weights are a Gaussian of deviation ${deviation}`, () => {
    const weights = gaussian(deviation);
    const radius = (weights.length - 1) / 2;
    assert.equal(radius, Math.ceil(3 * deviation));
    const expected = Array.from(weights, (_, i) =>
      Math.exp(-((i - radius) ** 2) / (2 * deviation ** 2)),
    );
    const sum = expected.reduce((total, value) => total + value, 0);
    weights.forEach((weight, i) => assert.ok(Math.abs(weight - expected[i] / sum) < 1e-12));
  });

test('a blur is the weighted mean around each pixel, the border repeated', async () => {
  const deviation = 1.2;
  const weights = gaussian(deviation);
  const radius = (weights.length - 1) / 2;
  const blurred = await degrade(picture, { ...nothing, blur: deviation });
  const at = (x: number, y: number, c: number) => {
    const column = Math.min(width - 1, Math.max(0, x));
    const row = Math.min(height - 1, Math.max(0, y));
    return picture.data[(row * width + column) * 3 + c];
  };
  for (let y = 0; y < height; y++)
    for (let x = 0; x < width; x++)
      for (let c = 0; c < 3; c++) {
        let sum = 0;
        for (let dy = -radius; dy <= radius; dy++)
          for (let dx = -radius; dx <= radius; dx++)
            sum += weights[dy + radius] * weights[dx + radius] * at(x + dx, y + dy, c);
        const got = blurred[(y * width + x) * 3 + c];
        assert.ok(Math.abs(got - sum) <= 0.5 + 1e-9, `${[x, y, c]}: ${got}, ${sum}`);
      }
});

test('noise has the deviation asked for, no bias, and another grain for another seed', async () => {
  const noisy = await degrade(grey, { ...nothing, noise: 12 });
  const errors = Array.from(noisy, (value) => value - 128);
  assert.ok(Math.abs(meanOf(errors)) < 1);
  const deviation = Math.sqrt(meanOf(errors.map((error) => error ** 2)));
  assert.ok(Math.abs(deviation - 12) < 1, `${deviation}`);
  assert.notDeepEqual(await degrade(grey, { ...nothing, noise: 12, grain: 2 }), noisy);
});

test('a JPEG is what the encoder and the decoder make of it, after the rest', async () => {
  const raw = { width, height, channels: 3 } as const;
  const noisy = await degrade(picture, { ...nothing, noise: 3 });
  const file = await sharp(noisy, { raw }).jpeg({ quality: 40 }).toBuffer();
  const expected = await sharp(file).raw().toBuffer();
  const made = await degrade(picture, { ...nothing, noise: 3, jpeg: 40 });
  assert.deepEqual(Buffer.from(made), expected);
});

test('choices are within their ranges, spread over them, and the same for the same sample', () => {
  const spec = { blur: [0.5, 2], noise: [1, 3], jpeg: [60, 62] };
  const chosen = Array.from({ length: 400 }, (_, sample) =>
    chooseDegradation({ seed: 1, epoch: 2, sample }, spec),
  );
  for (const [key, [low, high]] of Object.entries(spec) as [keyof typeof spec, number[]][]) {
    const values = chosen.map((each) => each[key] as number);
    assert.ok(Math.min(...values) >= low && Math.max(...values) <= high, key);
    assert.ok(Math.abs(meanOf(values) - (low + high) / 2) < 0.05 * (high - low) + 0.02, key);
  }
  assert.deepEqual([...new Set(chosen.map(({ jpeg }) => jpeg))].sort(), [60, 61, 62]);
  assert.equal(new Set(chosen.map(({ grain }) => grain)).size, chosen.length);
  const again = chooseDegradation({ seed: 1, epoch: 2, sample: 7 }, spec);
  assert.deepEqual(again, chosen[7]);
  assert.notDeepEqual(chooseDegradation({ seed: 1, epoch: 3, sample: 7 }, spec), again);
  const none = chooseDegradation({ seed: 1, epoch: 2, sample: 7 }, {});
  assert.deepEqual(none, { blur: 0, noise: 0, jpeg: undefined, grain: again.grain });
});

test('ranges are two numbers, the lower one first', () => {
  const spec = tinyRun('file://faces');
  const isValid = (degradation: unknown) =>
    runSpecSchema.safeParse({ ...spec, dataset: { ...spec.dataset, degradation } }).success;
  assert.ok(isValid({}) && isValid({ blur: [0, 2], noise: [4, 4], jpeg: [30, 95] }));
  for (const wrong of [{ blur: [2, 1] }, { blur: [1] }, { jpeg: [0, 90] }, { jpeg: [50.5, 90] }])
    assert.ok(!isValid(wrong), JSON.stringify(wrong));
});
