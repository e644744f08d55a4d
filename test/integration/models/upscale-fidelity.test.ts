// What an enlarged picture keeps of the one it was: depth, transparency, profile, EXIF, size asked for.

import assert from 'node:assert/strict';
import { stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { before, test } from 'node:test';
import { crc32, deflateSync } from 'node:zlib';
import sharp from 'sharp';
import { onBackdrop } from '../../../inference/upscale/backdrop.js';
import { uprightExif } from '../../../inference/upscale/attachments.js';
import { OperatorError } from '../../../shared/problems.js';
import { tinyGenerator } from '../../support/models/tiny-generator.js';
import { upscaleFile, type FileChanges } from '../../support/models/upscale-file.js';
import { noise } from '../../support/pictures.js';
import { testFolder } from '../../support/tiny-run.js';

const folder = testFolder();
const at = (name: string) => join(folder, name);

before(async () => {
  await writeFile(at('model.onnx'), tinyGenerator(1).model);
});

function run(input: string, output: string, changes: Partial<FileChanges> = {}) {
  return upscaleFile(at(input), at(output), { model: at('model.onnx'), ...changes });
}

async function deepPixels(name: string): Promise<Uint16Array> {
  const image = sharp(at(name), { ignoreIcc: true });
  const { space } = await image.metadata();
  const data = await image.toColourspace(space).raw({ depth: 'ushort' }).toBuffer();
  return new Uint16Array(Uint8Array.from(data).buffer);
}

/** A ramp of 16-bit values, which 8 bits could not hold apart. */
async function writeRamp(name: string, channels: 1 | 3): Promise<void> {
  const values = Uint16Array.from({ length: 40 * 12 * channels }, (_, i) => {
    return 20_000 + 8 * (Math.floor(i / channels) % 40);
  });
  await sharp(values, { raw: { width: 40, height: 12, channels } })
    .toColourspace(channels === 1 ? 'grey16' : 'rgb16')
    .png()
    .toFile(at(name));
}

for (const [name, output, space] of [
  ['deep.png', 'deep-out.png', 'rgb16'],
  ['deep.png', 'deep-out.tif', 'rgb16'],
  ['grey16.png', 'grey16-out.png', 'grey16'],
  ['grey16.png', 'grey16-out.tif', 'grey16'],
] as const)
  test(`16 bits stay 16 bits: ${name} to ${output}`, async () => {
    await writeRamp(name, space === 'grey16' ? 1 : 3);
    await run(name, output, { tile: 16 });
    const metadata = await sharp(at(output)).metadata();
    assert.deepEqual([metadata.space, metadata.depth], [space, 'ushort']);
    const row = (await deepPixels(output)).subarray(0, 160 * metadata.channels);
    // More values than 8 bits have in this range, which is one of theirs.
    assert.ok(new Set(row).size > 20, `${new Set(row).size} values`);
  });

test('16 bits become 8 in a format that has no more', async () => {
  await writeRamp('deep.png', 3);
  await run('deep.png', 'deep.jpg');
  const { data } = await sharp(at('deep.jpg')).raw().toBuffer({ resolveWithObject: true });
  assert.ok(
    data.every((value) => Math.abs(value - 20_000 / 257) < 8),
    `${data.subarray(0, 9)}`,
  );
});

test('16 bits made smaller stay 16 bits', async () => {
  await writeRamp('deep.png', 3);
  await run('deep.png', 'deep-2x.png', { form: { scale: 2 } });
  const metadata = await sharp(at('deep-2x.png')).metadata();
  assert.deepEqual([metadata.width, metadata.space], [80, 'rgb16']);
});

for (const [scale, size] of [
  [1, [21, 11]],
  [1.5, [32, 17]],
  [2, [42, 22]],
  [3, [63, 33]],
  [4, [84, 44]],
] as const)
  test(`enlarged ${scale} times`, async () => {
    const colour = { width: 21, height: 11, channels: 3, background: '#4080c0' } as const;
    await sharp({ create: colour }).png().toFile(at('flat.png'));
    for (const output of [`flat-${scale}.png`, `flat-${scale}.jpg`]) {
      const result = await run('flat.png', output, { form: { scale } });
      const { width, height } = await sharp(at(output)).metadata();
      assert.deepEqual([width, height], size);
      assert.deepEqual([result.width, result.height], size);
    }
  });

test('a quality is heeded, and refused where nothing is lost', async () => {
  await noise(40, 40).png().toFile(at('busy.png'));
  await run('busy.png', 'fine.jpg', { form: { quality: 95 } });
  await run('busy.png', 'coarse.jpg', { form: { quality: 20 } });
  const [fine, coarse] = await Promise.all(
    ['fine.jpg', 'coarse.jpg'].map((name) => stat(at(name))),
  );
  assert.ok(fine.size > 2 * coarse.size, `${fine.size} and ${coarse.size} bytes`);
  await assert.rejects(run('busy.png', 'no.png', { form: { quality: 90 } }), OperatorError);
});

/** A white disc on nothing, whose hidden pixels are black. */
async function writeDisc(name: string, colour: [number, number, number]): Promise<void> {
  const side = 48;
  const data = new Uint8Array(side * side * 4);
  for (let y = 0; y < side; y++)
    for (let x = 0; x < side; x++) {
      const distance = Math.hypot(x - side / 2 + 0.5, y - side / 2 + 0.5);
      const alpha = Math.round(255 * Math.min(1, Math.max(0, 16.5 - distance)));
      if (alpha > 0) data.set([...colour, alpha], (y * side + x) * 4);
    }
  await sharp(data, { raw: { width: side, height: side, channels: 4 } })
    .png()
    .toFile(at(name));
}

test('what is half transparent has no dark fringe', async () => {
  for (const tile of [192, 16]) {
    await writeDisc('disc.png', [255, 240, 230]);
    await run('disc.png', `disc-${tile}.png`, { tile });
    const data = await sharp(at(`disc-${tile}.png`))
      .raw()
      .toBuffer();
    let edge = 0;
    for (let i = 0; i < data.length; i += 4) {
      if (data[i + 3] === 0) continue;
      if (data[i + 3] < 250) edge++;
      // Far above the grey that black neighbours would give.
      assert.ok(data[i] > 215 && data[i + 2] > 190, `${data.subarray(i, i + 4).join()}`);
    }
    assert.ok(edge > 300, `${edge} pixels of the edge`);
  }
});

test('a backdrop does not depend on how the rows are cut, and leaves opaque pixels alone', () => {
  const [width, height] = [30, 40];
  const samples = Uint8Array.from(
    { length: width * height * 4 },
    (_, i) => (i * 73 + (i >> 7)) % 256,
  );
  for (let i = 3; i < samples.length; i += 4) samples[i] = [0, 0, 90, 255][(i >> 4) % 4];
  const whole = onBackdrop({ samples, width, channels: 4 });
  const part = onBackdrop({ samples: samples.subarray(4 * width * 4), width, channels: 4 });
  // From row 12 on, the window of 8 rows lies inside both.
  assert.deepEqual(part.subarray(8 * width * 3), whole.subarray(12 * width * 3));
  for (let i = 0; i < width * height; i++)
    if (samples[4 * i + 3] === 255)
      assert.deepEqual(whole.subarray(3 * i, 3 * i + 3), samples.subarray(4 * i, 4 * i + 3));
});

for (const output of ['p3.png', 'p3.jpg', 'p3.webp', 'p3.tif', 'p3.avif', 'p3-2x.png'])
  test(`a colour profile stays, and so do its numbers: ${output}`, async () => {
    const red = { width: 24, height: 24, channels: 3, background: '#f01010' } as const;
    await sharp({ create: red }).withIccProfile('p3').png().toFile(at('in-p3.png'));
    const form = output.includes('2x') ? { form: { scale: 2 } } : {};
    await run('in-p3.png', output, form);
    const [before, after] = await Promise.all(
      ['in-p3.png', output].map(async (name) => ({
        icc: (await sharp(at(name)).metadata()).icc,
        mean: (await sharp(at(name), { ignoreIcc: true }).stats()).channels.map(({ mean }) => mean),
      })),
    );
    assert.ok(before.icc && after.icc && before.icc.equals(after.icc));
    for (let c = 0; c < 3; c++) assert.ok(Math.abs(before.mean[c] - after.mean[c]) < 16);
  });

test('grey stays grey with its profile, and is sRGB where a format has no grey', async () => {
  const grey = { width: 24, height: 24, channels: 3, background: '#808080' } as const;
  const image = sharp({ create: grey }).toColourspace('b-w');
  await image.png().toFile(at('grey.png'));
  for (const [output, space] of [
    ['grey-out.png', 'b-w'],
    ['grey-out.jpg', 'b-w'],
    ['grey-out.tif', 'b-w'],
    ['grey-out.webp', 'srgb'],
    ['grey-out.avif', 'srgb'],
  ]) {
    await run('grey.png', output);
    assert.equal((await sharp(at(output)).metadata()).space, space, output);
  }
});

test('a grey profile goes with grey only', async () => {
  const profile = greyProfile();
  const grey = { width: 24, height: 24, channels: 3, background: '#808080' } as const;
  const png = await sharp({ create: grey }).toColourspace('b-w').png().toBuffer();
  // IHDR has 13 bytes.
  const chunk = Buffer.concat([Buffer.from('icc\0\0'), deflateSync(profile)]);
  const data = Buffer.concat([Buffer.from('iCCP'), chunk]);
  const [length, sum] = [Buffer.alloc(4), Buffer.alloc(4)];
  length.writeUInt32BE(chunk.length);
  sum.writeUInt32BE(crc32(data));
  const parts = [png.subarray(0, 33), length, data, sum, png.subarray(33)];
  await writeFile(at('grey-icc.png'), Buffer.concat(parts));
  for (const [output, keeps] of [
    ['grey-icc.jpg', true],
    ['grey-icc-out.png', true],
    ['grey-icc.webp', false],
  ] as const) {
    await run('grey-icc.png', output);
    const { icc } = await sharp(at(output)).metadata();
    assert.equal(icc?.equals(profile) === true, keeps, output);
  }
});

/** A profile of version 2 with gamma 2: header, two tags (white point, curve of grey). */
function greyProfile(): Buffer {
  const profile = Buffer.alloc(128 + 4 + 2 * 12 + 20 + 16);
  profile.writeUInt32BE(profile.length, 0);
  profile.writeUInt32BE(0x02400000, 8);
  for (const [at, text] of [
    [12, 'mntr'],
    [16, 'GRAY'],
    [20, 'XYZ '],
    [36, 'acsp'],
    [132, 'wtpt'],
    [144, 'kTRC'],
    [156, 'XYZ '],
    [176, 'curv'],
  ] as const)
    profile.write(text, at, 'latin1');
  const whitePoint = [0xf6d6, 0x10000, 0xd32d];
  for (const at of [68, 164])
    whitePoint.forEach((value, i) => profile.writeUInt32BE(value, at + 4 * i));
  profile.writeUInt32BE(2, 128);
  for (const [at, offset, size] of [
    [136, 156, 20],
    [148, 176, 14],
  ]) {
    profile.writeUInt32BE(offset, at);
    profile.writeUInt32BE(size, at + 4);
  }
  profile.writeUInt32BE(1, 184);
  profile.writeUInt16BE(0x0200, 188);
  return profile;
}

for (const output of ['turned.jpg', 'turned.png', 'turned.webp', 'turned.tif', 'turned-2x.jpg'])
  test(`EXIF stays, but for what is no longer so: ${output}`, async () => {
    const flat = { width: 30, height: 20, channels: 3, background: '#888' } as const;
    await sharp({ create: flat })
      .withExif({
        IFD0: { Copyright: 'someone' },
        IFD2: { PixelXDimension: '30', PixelYDimension: '20', UserComment: 'kept' },
      })
      .withMetadata({ orientation: 6 })
      .withXmp('<x:xmpmeta xmlns:x="adobe:ns:meta/"><a tiff:Orientation="6" b="kept"/></x:xmpmeta>')
      .jpeg()
      .toFile(at('in-turned.jpg'));
    assert.equal((await sharp(at('in-turned.jpg')).metadata()).orientation, 6);
    await run('in-turned.jpg', output, output.includes('2x') ? { form: { scale: 2 } } : {});
    const { width, height, orientation, exif, xmp } = await sharp(at(output)).metadata();
    assert.deepEqual([width, height], output.includes('2x') ? [40, 60] : [80, 120]);
    assert.ok(orientation === undefined || orientation === 1, `${orientation}`);
    // libvips writes no EXIF into a TIFF.
    if (!output.endsWith('tif')) assert.match(exif?.toString('latin1') ?? '', /someone/);
    assert.match(xmp?.toString('latin1') ?? '', /tiff:Orientation="1" b="kept"/);
  });

test('EXIF of either byte order is mended in place; broken EXIF is left out', () => {
  for (const isLittle of [true, false]) {
    const tiff = Buffer.alloc(64);
    const short = (at: number, value: number) =>
      isLittle ? tiff.writeUInt16LE(value, at) : tiff.writeUInt16BE(value, at);
    const long = (at: number, value: number) =>
      isLittle ? tiff.writeUInt32LE(value, at) : tiff.writeUInt32BE(value, at);
    tiff.write(isLittle ? 'II' : 'MM', 'latin1');
    short(2, 42);
    long(4, 8);
    short(8, 2);
    const entry = (at: number, tag: number, type: number, value: number) => {
      short(at, tag);
      short(at + 2, type);
      long(at + 4, 1);
      if (type === 3) short(at + 8, value);
      else long(at + 8, value);
    };
    entry(10, 0x0112, 3, 6);
    entry(22, 0x8769, 4, 40);
    long(34, 60);
    short(40, 1);
    entry(42, 0xa002, 4, 30);
    const mended = uprightExif(Buffer.concat([Buffer.from('Exif\0\0'), tiff]), {
      ...{ width: 70_000, height: 9 },
    });
    entry(10, 0x0112, 3, 1);
    entry(42, 0xa002, 4, 70_000);
    long(34, 0);
    assert.deepEqual(mended, tiff);
    for (const length of [0, 3, 9, 20, 41, 50])
      assert.equal(uprightExif(tiff.subarray(0, length), { width: 1, height: 1 }), undefined);
    long(30, 0xfffffff0);
    assert.equal(uprightExif(tiff, { width: 1, height: 1 }), undefined);
  }
  assert.equal(uprightExif(Buffer.from('no EXIF at all'), { width: 1, height: 1 }), undefined);
});

test('the resolution stays', async () => {
  const flat = { width: 20, height: 20, channels: 3, background: '#888' } as const;
  await sharp({ create: flat }).withMetadata({ density: 300 }).png().toFile(at('in-300.png'));
  for (const output of ['300.png', '300.jpg', '300.tif']) {
    await run('in-300.png', output);
    assert.equal((await sharp(at(output)).metadata()).density, 300, output);
  }
});
