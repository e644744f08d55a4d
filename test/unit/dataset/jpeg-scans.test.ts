import assert from 'node:assert/strict';
import { test } from 'node:test';
import { decodePicture } from '../../../dataset/decode.js';
import { withSoundScans } from '../../../dataset/jpeg-scans.js';
import { noise } from '../../support/pictures.js';

/** Where the last three bytes of each scan's header are. */
function headers(jpeg: Buffer): number[] {
  const places: number[] = [];
  for (let at = jpeg.indexOf('ffda', 0, 'hex'); at >= 0; at = jpeg.indexOf('ffda', at + 2, 'hex'))
    places.push(at + 2 + jpeg.readUInt16BE(at + 2) - 3);
  return places;
}

/** As phones write it: other values in the scan headers that the decoder ignores. */
function asPhonesWrite(jpeg: Buffer, bytes: readonly number[] = [0, 0, 0]): Buffer {
  const odd = Buffer.from(jpeg);
  for (const place of headers(jpeg)) odd.set(bytes, place);
  return odd;
}

const picture = noise(160, 120, 3).blur(1);
const baseline = await picture.clone().jpeg().toBuffer();
const progressive = await picture.clone().jpeg({ progressive: true }).toBuffer();

/** A scan a component, which few cameras write: cut out of grey pictures. */
async function scanEach(): Promise<Buffer> {
  const grey = await noise(64, 64, 4).toColourspace('b-w').jpeg().toBuffer();
  const frame = grey.indexOf('ffc0', 0, 'hex');
  const length = grey.readUInt16BE(frame + 2);
  const scan = grey.subarray(grey.indexOf('ffda', 0, 'hex'), -2);
  const header = Buffer.from(grey.subarray(frame, frame + 2 + length));
  const wide = Buffer.concat([header, Buffer.from([2, 0x11, 0, 3, 0x11, 0])]);
  wide.writeUInt16BE(length + 6, 2);
  wide[9] = 3;
  const scans = [1, 2, 3].map((component) => {
    const one = Buffer.from(scan);
    one[5] = component;
    return one;
  });
  const before = grey.subarray(0, frame);
  const between = grey.subarray(frame + 2 + length, grey.indexOf('ffda', 0, 'hex'));
  return Buffer.concat([before, wide, between, ...scans, grey.subarray(-2)]);
}

test('odd bytes in a scan header change no pixel', async () => {
  const { data } = await decodePicture(baseline);
  for (const bytes of [
    [0, 0, 0],
    [0, 62, 0],
    [1, 63, 0],
    [0, 63, 1],
    [63, 0, 255],
  ])
    assert.deepEqual((await decodePicture(asPhonesWrite(baseline, bytes))).data, data);
});

test('each of several scans is written right', async () => {
  const sound = await scanEach();
  const { data } = await decodePicture(sound);
  const odd = asPhonesWrite(sound);
  assert.equal(headers(odd).length, 3);
  assert.deepEqual(Buffer.from(withSoundScans(odd)), sound);
  assert.deepEqual((await decodePicture(odd)).data, data);
});

test('what is truncated or damaged is refused all the same', async () => {
  const odd = asPhonesWrite(baseline);
  await assert.rejects(
    decodePicture(odd.subarray(0, odd.length * 0.7)),
    /^PictureError: truncated/,
  );
  const damaged = Buffer.from(odd);
  damaged.fill(0xff, odd.length >> 1, (odd.length >> 1) + 200);
  await assert.rejects(decodePicture(damaged), /^PictureError: .*Corrupt JPEG data/);
});

test('what is sound, progressive or no JPEG stays as it is', async () => {
  const png = await picture.clone().png().toBuffer();
  for (const bytes of [baseline, progressive, asPhonesWrite(progressive), png, Buffer.alloc(0)])
    assert.equal(withSoundScans(bytes), bytes);
});

test('bytes of any kind are looked through to an end', () => {
  const odd = asPhonesWrite(baseline);
  for (let length = 0; length < 700; length++) withSoundScans(odd.subarray(0, length));
  for (let at = 2; at < 700; at++) {
    const bytes = Buffer.from(odd);
    bytes[at] = 0xff;
    withSoundScans(bytes);
    bytes[at] = 0;
    withSoundScans(bytes);
  }
});
