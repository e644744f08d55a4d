// `lockstep upscale` as people and scripts call it: files, folders, patterns, pipes, and mistakes.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { before, test } from 'node:test';
import sharp from 'sharp';
import { packageFile } from '../../../shared/paths.js';
import { noise } from '../../support/pictures.js';
import { runLockstep, startLockstep } from '../../support/lockstep-command.js';
import { tinyGenerator } from '../../support/models/tiny-generator.js';
import { testFolder } from '../../support/tiny-run.js';
import { until } from '../../support/until.js';

const folder = testFolder();
const at = (name: string) => join(folder, name);
const model = ['--model', at('model.onnx'), '--threads', '1'];
const upscale = (...args: string[]) => runLockstep(['upscale', ...args, ...model], folder);
const widthOf = async (name: string) => (await sharp(at(name)).metadata()).width;

before(async () => {
  await writeFile(at('model.onnx'), tinyGenerator().model);
  await noise(20, 10).jpeg().toFile(at('photo.jpg'));
  await noise(12, 10).gif().toFile(at('film.gif'));
});

test('without more words, the output lies beside the input, in its format', async () => {
  const { code, stderr } = await upscale('photo.jpg', 'film.gif');
  assert.equal(code, 0, stderr);
  assert.deepEqual([await widthOf('photo-4x.jpg'), await widthOf('film-4x.png')], [80, 48]);
  assert.equal((await sharp(at('photo-4x.jpg')).metadata()).format, 'jpeg');
  const again = await upscale('photo.jpg');
  assert.equal(again.code, 78);
  assert.match(again.stderr, /photo-4x\.jpg.*--force/);
  assert.equal((await upscale('photo.jpg', '--scale', '1.5', '--format', 'webp')).code, 0);
  assert.equal(await widthOf('photo-1.5x.webp'), 30);
});

test('of a folder all below it is enlarged, what fails is listed, and again only the rest', async () => {
  await mkdir(at('album/deeper/.hidden'), { recursive: true });
  for (const name of ['b.png', 'deeper/a.PNG', 'deeper/.hidden/x.png'])
    await noise(8, 8)
      .png()
      .toFile(at(`album/${name}`));
  await writeFile(at('album/broken.jpg'), 'no picture');
  await writeFile(at('album/phone.heic'), 'any');
  await writeFile(at('album/notes.txt'), 'any');
  // The outputs lie in the folder itself, and are not its pictures.
  const args = ['album', '--out', 'album/large', '--json'];
  const first = await upscale(...args);
  assert.equal(first.code, 1);
  assert.deepEqual(
    first.lines.map(({ input, state }) => [input, state]),
    [
      ['album/b.png', 'written'],
      ['album/deeper/a.PNG', 'written'],
      ['album/phone.heic', 'failed'],
      ['album/broken.jpg', 'failed'],
    ],
  );
  assert.match(String(first.lines[3]?.['reason']), /not a picture/);
  assert.match(first.stderr, /2 of 4 inputs could not be enlarged/);
  assert.deepEqual((await readdir(at('album/large'), { recursive: true })).sort(), [
    ...['b.png', 'deeper', 'deeper/a.PNG'],
  ]);
  await rm(at('album/large/b.png'));
  const second = await upscale(...args);
  const states = second.lines.map(({ state }) => state);
  assert.deepEqual(states, ['written', 'present', 'failed', 'failed']);
  const plain = await upscale('album', '--out', 'album/large');
  assert.match(plain.stderr, /broken\.jpg: .*not a picture/);
  assert.match(plain.stderr, /phone\.heic: HEIC is not read: convert it/);
});

test('a pattern that no shell expands; outputs that would meet', async () => {
  await mkdir(at('some/other'), { recursive: true });
  for (const name of ['some/1.png', 'some/2.png', 'some/other/1.png', 'some/1.gif'])
    await noise(8, 8).toFile(at(name));
  const { code, lines } = await upscale('some/**/*.png', 'some/1.gif', '--out', 'met', '--json');
  assert.equal(code, 1);
  assert.deepEqual((await readdir(at('met'))).sort(), ['1.png', '2.png']);
  const failed = lines.filter(({ state }) => state === 'failed');
  assert.deepEqual(
    failed.map(({ input }) => input),
    ['some/other/1.png', 'some/1.gif'],
  );
  const none = await upscale('nothing/*.png', '--out', 'met');
  assert.equal(none.code, 1);
  assert.match(none.stderr, /no picture has a name like that/);
});

test('an output never takes the place of its input in a folder', async () => {
  const before = await readFile(at('photo.jpg'));
  const { code, stderr } = await upscale('photo.jpg', 'film.gif', '--out', '.', '--force');
  assert.equal(code, 1);
  assert.match(stderr, /photo\.jpg: its output would take its own place/);
  assert.deepEqual(await readFile(at('photo.jpg')), before);
});

/** Runs the command in a pipe. */
async function pipe(input: Uint8Array, args: readonly string[]) {
  const command = [packageFile('bin/lockstep.js'), 'upscale', ...args, ...model];
  const child = spawn(process.execPath, command, { cwd: folder });
  child.stdin.on('error', () => undefined).end(input);
  const [out, said]: Buffer[][] = [[], []];
  child.stdout.on('data', (part: Buffer) => out.push(part));
  child.stderr.on('data', (part: Buffer) => said.push(part));
  const code = await new Promise((resolve) => child.on('close', resolve));
  return { code, output: Buffer.concat(out), stderr: Buffer.concat(said).toString() };
}

test('in a pipe, standard output has the picture and nothing else', async () => {
  const { code, output, stderr } = await pipe(await readFile(at('photo.jpg')), ['-']);
  assert.equal(code, 0, stderr);
  const { format, width } = await sharp(output).metadata();
  assert.deepEqual([format, width], ['jpeg', 80]);
  await upscale('photo.jpg', '--out', 'same.jpg');
  assert.deepEqual(output, await readFile(at('same.jpg')));
  const file = await pipe(await readFile(at('photo.jpg')), ['-', '--out', 'from-pipe.png']);
  assert.equal(file.code, 0, file.stderr);
  assert.equal(await widthOf('from-pipe.png'), 80);
  const large = await pipe(Buffer.alloc(0), ['photo.jpg', '--out', '-', '--format', 'png']);
  assert.equal((await sharp(large.output).metadata()).format, 'png');
  const broken = await pipe(Buffer.from('no picture'), ['-']);
  assert.deepEqual([broken.code, broken.output.length], [78, 0]);
  assert.match(broken.stderr, /input: given "-"/);
});

test('mistakes are named before anything is done', async () => {
  await mkdir(at('empty'), { recursive: true });
  const cases: readonly (readonly [string, RegExp])[] = [
    ['model.onnx photo.jpg out.png', /input: given "model\.onnx"; .*--model model\.onnx/],
    ['album', /--out: missing; allowed: a folder.*--out album-4x/],
    ['photo.jpg --out out.bmp', /--out: given "out\.bmp"; allowed: a name that ends in/],
    ['photo.jpg --out a.png --format webp', /--format: given "webp"; allowed: that of a\.png/],
    ['photo.jpg --scale 5', /--scale: given 5; allowed: a number from 1 to the model's 4/],
    ['photo.jpg --quality 0', /--quality: given 0; allowed: a whole number from 1 to 100/],
    ['photo.jpg --out q.png --quality 90', /--quality: given 90; .*jpg, webp, avif.*lossless/],
    ['photo.jpg - --out x', /one picture, with "-"/],
    ['photo.jpg --out - --json', /--json: given true; allowed: only with --out FILE/],
  ];
  for (const [line, message] of cases) {
    const { code, stderr } = await upscale(...line.split(' '));
    assert.equal(code, 78, `${line}: ${stderr}`);
    assert.match(stderr, message);
  }
  const none = await upscale('empty', '--out', 'x');
  assert.match(none.stderr, /there is no picture in this folder/);
});

test('interrupted, it leaves nothing and says so', async () => {
  await mkdir(at('half'));
  await noise(400, 400).png().toFile(at('large.png'));
  const args = ['upscale', 'large.png', '--out', 'half/large.png', '--tile', '16', ...model];
  const running = startLockstep(args, folder);
  await until(async () => (await readdir(at('half'))).length > 0, 'it writes');
  running.process.kill('SIGINT');
  const { code, stderr } = await running.result;
  assert.equal(code, 130);
  assert.match(stderr, /upscale was stopped/);
  assert.deepEqual(await readdir(at('half')), []);
});
