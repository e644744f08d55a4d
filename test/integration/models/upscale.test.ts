import assert from 'node:assert/strict';
import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { before, test } from 'node:test';
import sharp, { type Sharp } from 'sharp';
import { loadNetwork } from '../../../inference/onnx-network.js';
import { OperatorError } from '../../../shared/problems.js';
import { createRandomStream } from '../../../shared/random.js';
import { testFolder } from '../../support/tiny-run.js';
import { tinyGenerator } from '../../support/models/tiny-generator.js';
import { upscaleFile, type FileChanges } from '../../support/models/upscale-file.js';

const folder = testFolder();
let radius: number;
const at = (name: string) => join(folder, name);

before(async () => {
  // As if trained: what the network adds to the bicubic picture is well above rounding.
  const tiny = tinyGenerator();
  radius = tiny.radius;
  await writeFile(at('model.onnx'), tiny.model);
  await noise(101, 67).jpeg().toFile(at('photo.jpg'));
});
/** A picture of smooth noise. */
function noise(width: number, height: number): Sharp {
  const stream = createRandomStream(width);
  const data = Uint8Array.from({ length: width * height * 3 }, () => 256 * stream.uniform());
  return sharp(data, { raw: { width, height, channels: 3 } }).blur(1);
}

function run(input: string, output: string, changes: Partial<FileChanges> = {}) {
  return upscaleFile(at(input), at(output), { model: at('model.onnx'), ...changes });
}

async function pixelsOf(name: string): Promise<Buffer> {
  return await sharp(at(name)).raw().toBuffer();
}

test('a picture of 101x67 becomes one of 404x268', async () => {
  const result = await run('photo.jpg', 'photo.png');
  assert.deepEqual(result, { width: 404, height: 268, tiles: 1 });
  const { width, height, channels } = await sharp(at('photo.png')).metadata();
  assert.deepEqual([width, height, channels], [404, 268, 3]);
});

test('tiles differ from the whole by rounding only, and look at all they need', async () => {
  await run('photo.jpg', 'whole.png');
  const { tiles } = await run('photo.jpg', 'tiled.png', { tile: 16 });
  assert.equal(tiles, 7 * 5);
  const [whole, tiled] = [await pixelsOf('whole.png'), await pixelsOf('tiled.png')];
  const differences = whole.map((value, i) => Math.abs(value - tiled[i]));
  assert.ok(Math.max(...new Set(differences)) <= 1);
  const changed = differences.filter((difference) => difference > 0).length;
  assert.ok(changed < whole.length / 1000, `${changed} of ${whole.length} bytes differ`);
});

test('the radius is what an output pixel depends on, and hardly more', async (t) => {
  const network = await loadNetwork(at('model.onnx'), 1);
  t.after(() => network.close());
  const side = 48;
  const { data } = await noise(side, side).raw().toBuffer({ resolveWithObject: true });
  const pixels = Float32Array.from(data, (value) => value / 255);
  const whole = await network.run(pixels, side, side);
  // The pixel at half the width, from the columns at most `margin` to its left.
  const worstAt = async (margin: number) => {
    const left = side / 2 - margin;
    const width = side - left;
    const cut = new Float32Array(side * width * 3);
    for (let y = 0; y < side; y++)
      cut.set(pixels.subarray((y * side + left) * 3, (y + 1) * side * 3), y * width * 3);
    const part = await network.run(cut, side, width);
    let worst = 0;
    for (let y = 0; y < 4 * side; y++)
      for (let i = 0; i < 12; i++) {
        const expected = whole[(y * 4 * side + 2 * side) * 3 + i];
        worst = Math.max(worst, Math.abs(part[(y * 4 * width + 4 * margin) * 3 + i] - expected));
      }
    return worst;
  };
  assert.ok((await worstAt(radius)) < 1e-5);
  assert.ok((await worstAt(radius - 3)) > 1e-5);
});

test('a generated picture lies near the enlarged input', async () => {
  await run('photo.jpg', 'near.png');
  const expected = await sharp(at('photo.jpg'))
    .resize(404, 268, { kernel: 'cubic' })
    .raw()
    .toBuffer();
  const got = await pixelsOf('near.png');
  const sum = got.reduce((total, value, i) => total + Math.abs(value - expected[i]), 0);
  assert.ok(sum / got.length < 20, `mean difference ${sum / got.length}`);
});

const small = noise(20, 10);
const oddInputs: readonly [string, Sharp, number, [number, number]][] = [
  ['grey.png', small.clone().toColourspace('b-w').png(), 1, [80, 40]],
  ['alpha.png', small.clone().ensureAlpha(0.5).png(), 4, [80, 40]],
  ['deep.png', small.clone().toColourspace('rgb16').png(), 3, [80, 40]],
  ['grey-alpha.png', noise(9, 9).toColourspace('b-w').ensureAlpha(0.5).png(), 2, [36, 36]],
  ['cmyk.jpg', small.clone().toColourspace('cmyk').jpeg(), 3, [80, 40]],
  ['turned.jpg', small.clone().withMetadata({ orientation: 6 }).jpeg(), 3, [40, 80]],
  ['dot.png', noise(1, 1).png(), 3, [4, 4]],
  ['line.webp', noise(300, 1).webp(), 3, [1200, 4]],
];

for (const [name, picture, channels, size] of oddInputs)
  test(`any picture goes: ${name}`, async () => {
    await picture.toFile(at(name));
    const output = `${name}.out.png`;
    await run(name, output, { tile: 16 });
    const metadata = await sharp(at(output)).metadata();
    assert.deepEqual([metadata.width, metadata.height], size);
    assert.equal(metadata.channels, channels);
    // The same brightness, so the same range of samples and the same way up of colours.
    const mean = async (file: string) => {
      const { data, info } = await sharp(at(file))
        .autoOrient()
        .toColourspace('srgb')
        .removeAlpha()
        .raw()
        .toBuffer({ resolveWithObject: true });
      assert.equal(info.channels, 3);
      return data.reduce((sum, value) => sum + value, 0) / data.length;
    };
    const [before, behind] = [await mean(name), await mean(output)];
    assert.ok(Math.abs(before - behind) < 20, `${before} became ${behind}`);
  });

test('a half transparent picture stays half transparent', async () => {
  await noise(40, 40).ensureAlpha(0.5).png().toFile(at('glass.png'));
  await run('glass.png', 'glass-out.png', { tile: 16 });
  const alpha = await sharp(at('glass-out.png')).extractChannel(3).raw().toBuffer();
  assert.ok(alpha.every((value) => Math.abs(value - 128) <= 1));
});

test('other formats are converted', async () => {
  for (const name of ['out.jpg', 'out.webp', 'out.tiff']) {
    await run('photo.jpg', name);
    assert.equal((await sharp(at(name)).metadata()).width, 404, name);
  }
});

test('mistakes are reported as problems, and nothing is left behind', async () => {
  await writeFile(at('broken.jpg'), 'no picture');
  await writeFile(at('empty.onnx'), '');
  const svg = '<svg xmlns="http://www.w3.org/2000/svg" width="99" height="99"><rect/></svg>';
  await writeFile(at('drawing.png'), svg);
  await writeFile(at('phone.heic'), '\0\0\0\x18ftypheic\0\0\0\0mif1heic\0\0\0\x08meta');
  await writeFile(at('page.onnx'), '<!DOCTYPE html>');
  await writeFile(at('exists.png'), '');
  const cases: [() => Promise<unknown>, string, RegExp][] = [
    [() => run('broken.jpg', 'a.png'), 'input', /cannot be read/],
    [() => run('missing.jpg', 'a.png'), 'input', /cannot be read: it is not there/],
    [() => run('empty.onnx', 'a.png'), 'input', /zero bytes/],
    [() => run('drawing.png', 'a.png'), 'input', /svg is not read/],
    [() => run('phone.heic', 'a.png'), 'input', /HEIC is not read: convert it/],
    [() => run('photo.jpg', 'exists.png'), 'output', /--force/],
    [() => run('photo.jpg', 'a.png', { model: at('missing.onnx') }), 'model', /cannot be read/],
    [() => run('photo.jpg', 'a.png', { model: at('page.onnx') }), 'model', /no ONNX file/],
    [() => run('photo.jpg', 'a.png', { model: at('empty.onnx') }), 'model', /no ONNX file/],
  ];
  for (const [work, key, message] of cases)
    await assert.rejects(work, (error) => {
      assert.ok(error instanceof OperatorError, String(error));
      assert.equal(error.problems[0]?.key, key);
      assert.match(error.message, message);
      return true;
    });
  await run('photo.jpg', 'exists.png', { isForced: true });
  const left = await readdir(folder);
  assert.deepEqual(
    left.filter((name) => name.startsWith('a.') || name.includes('partial')),
    [],
  );
});

test('stopped between two tiles, it leaves nothing behind', async () => {
  const controller = new AbortController();
  const work = run('photo.jpg', 'stopped.png', {
    tile: 16,
    signal: controller.signal,
    onTile: (done) => done === 9 && controller.abort(new Error('enough')),
  });
  await assert.rejects(work, /enough/);
  assert.ok(!(await readdir(folder)).some((name) => name.startsWith('stopped')));
});

test('a truncated picture fails without an output', async () => {
  const whole = await noise(200, 200).jpeg().toBuffer();
  await writeFile(at('torn.jpg'), whole.subarray(0, whole.length / 2));
  await assert.rejects(run('torn.jpg', 'torn.png'), OperatorError);
  assert.ok(!(await readdir(folder)).some((name) => name.startsWith('torn.png')));
});

test('a TIFF is lossless, and a JPEG shows what is transparent as white', async () => {
  await run('photo.jpg', 'same.png');
  await run('photo.jpg', 'same.tif');
  assert.deepEqual(await pixelsOf('same.tif'), await pixelsOf('same.png'));
  // Of the form that every program reads.
  assert.equal((await readFile(at('same.tif'))).readUInt16LE(2), 42);
  await noise(20, 20).ensureAlpha(0).png().toFile(at('clear.png'));
  await run('clear.png', 'clear.jpg');
  assert.ok((await pixelsOf('clear.jpg')).every((value) => value > 250));
});

test('a JPEG as phones write it is enlarged as the sound one', async () => {
  const jpeg = await readFile(at('photo.jpg'));
  jpeg[jpeg.indexOf('ffda', 0, 'hex') + 12] = 0;
  await writeFile(at('phone.jpg'), jpeg);
  await run('photo.jpg', 'sound.png');
  await run('phone.jpg', 'odd.png');
  assert.deepEqual(await pixelsOf('odd.png'), await pixelsOf('sound.png'));
});
