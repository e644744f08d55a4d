// `lockstep evaluate` on real faces, with a generator that was never trained.

import assert from 'node:assert/strict';
import { copyFile, mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { before, test } from 'node:test';
import sharp from 'sharp';
import { decodePicture } from '../../../dataset/decode.js';
import { shortNames, type Evaluation } from '../../../inference/evaluation/evaluate.js';
import { exportOnnx } from '../../../inference/generator.js';
import { pictureOf } from '../../../inference/pictures/picture.js';
import { qualityOf } from '../../../inference/quality.js';
import { exitCodes } from '../../../shared/exit-codes.js';
import { packageFile } from '../../../shared/paths.js';
import { sha256Of } from '../../../shared/sha256.js';
import { createSrganTask } from '../../../task/srgan/task.js';
import { downsampleBicubic, upsampleBicubic } from '../../../worker/data/bicubic.js';
import { runLockstep } from '../../support/lockstep-command.js';
import { packFaces, testFolder, tinyRun } from '../../support/tiny-run.js';

const folder = testFolder();
const model = join(folder, 'model.onnx');
const faces = join(folder, 'faces');
const names = ['1', '10', '11'];

before(async () => {
  const task = createSrganTask(tinyRun('file://nowhere'));
  const parameters = task.initialParameters('generator', 5);
  const statistics = task.initialStatistics('generator');
  await writeFile(model, exportOnnx(task, parameters, statistics));
  await mkdir(join(faces, 'a'), { recursive: true });
  for (const name of names)
    await copyFile(
      packageFile(`examples/faces/female/${name}.jpg`),
      join(faces, 'a', `${name}.jpg`),
    );
  await writeFile(join(faces, 'README.md'), 'no picture, and no one says it is');
});

test('a folder is judged face by face, beside bicubic; what is broken is named', async () => {
  const torn = (await readFile(join(faces, 'a', '1.jpg'))).subarray(0, 2000);
  await writeFile(join(faces, 'torn.jpg'), torn);
  const report = join(folder, 'report');
  const args = ['evaluate', model, faces, '--resize', '81', '--out', report, '--json'];
  const { code, lines, stderr } = await runLockstep(args, folder);
  assert.equal(code, exitCodes.failed, stderr);
  assert.match(stderr, /torn\.jpg was skipped: .*\n.*1 of 4 pictures could not be used/s);
  const found = lines[0] as unknown as Evaluation;
  assert.deepEqual(
    found.faces.map(({ key }) => key),
    names.map((name) => `a/${name}`),
  );
  assert.equal(found.model.sha256, sha256Of(await readFile(model)));
  const written = JSON.parse(await readFile(join(report, 'evaluation.json'), 'utf8')) as object;
  const { seconds, ...figures } = found as Evaluation & { readonly seconds: number };
  assert.ok(seconds > 0);
  assert.deepEqual(written, figures);
  const picture = await sharp(join(report, 'faces.png')).metadata();
  assert.ok(picture.width > 4 * 80 && picture.height > 3 * 80);

  // By its definition: cut to multiples of 4, reduced, enlarged by `upscale` and bicubically.
  const [first] = found.faces;
  const file = await readFile(join(faces, 'a', '1.jpg'));
  const { width, height, data } = await decodePicture(file, ({ width: w, height: h }) => ({
    width: w < h ? 81 : Math.round((w * 81) / h),
    height: w < h ? Math.round((h * 81) / w) : 81,
  }));
  const [cutWidth, cutHeight] = [width - (width % 4), height - (height % 4)];
  const [left, top] = [Math.floor((width % 4) / 2), Math.floor((height % 4) / 2)];
  const cut = await sharp(data, { raw: { width, height, channels: 3 } })
    .extract({ left, top, width: cutWidth, height: cutHeight })
    .raw()
    .toBuffer();
  const original = { width: cutWidth, height: cutHeight, data: cut };
  const lr = new Float32Array(cut.length / 16);
  downsampleBicubic(cut, cutWidth, cutHeight, lr);
  const raw = { width: cutWidth / 4, height: cutHeight / 4, channels: 3 } as const;
  const small = Uint8Array.from(lr, (value) => Math.round(value * 255));
  await sharp(small, { raw }).png().toFile(join(folder, 'low.png'));
  const upscale = ['upscale', 'low.png', '--model', model, '--out', 'high.png'];
  const upscaled = await runLockstep(upscale, folder);
  assert.equal(upscaled.code, exitCodes.ok, upscaled.stderr);
  const high = await decodePicture(await readFile(join(folder, 'high.png')));
  const { psnr, ssim } = qualityOf(high, original);
  assert.deepEqual([first.generated.psnr, first.generated.ssim], [psnr, ssim]);
  const plain = upsampleBicubic(lr, raw.width, raw.height);
  const bicubic = qualityOf(pictureOf(plain, cutWidth, cutHeight, 'unit'), original);
  assert.deepEqual([first.bicubic.psnr, first.bicubic.ssim], [bicubic.psnr, bicubic.ssim]);
  assert.ok((first.bicubic.identity ?? 0) > 1e-3 && (first.bicubic.identity ?? 1) < 0.5);
});

test('a dataset and a single picture are judged as the same faces', async () => {
  const url = `file://${folder}/dataset`;
  await packFaces(url, folder, 3);
  const ofDataset = await runLockstep(['evaluate', model, url, '--json'], folder);
  assert.equal(ofDataset.code, exitCodes.ok, ofDataset.stderr);
  const dataset = ofDataset.lines[0] as unknown as Evaluation;
  assert.equal(dataset.faces.length, 3);
  const picture = join(faces, 'a', '10.jpg');
  const alone = await runLockstep(['evaluate', model, picture], folder);
  assert.equal(alone.code, exitCodes.ok, alone.stderr);
});

test('models stand beside each other under short names, each with its own figures', async () => {
  const task = createSrganTask(tinyRun('file://nowhere'));
  const other = join(folder, 'other', 'model.onnx');
  await mkdir(join(folder, 'other'));
  const start = task.initialParameters('generator', 6);
  await writeFile(other, exportOnnx(task, start, task.initialStatistics('generator')));
  const picture = join(faces, 'a', '10.jpg');
  const judge = async (args: readonly string[]): Promise<Evaluation> => {
    const { code, lines, stderr } = await runLockstep(['evaluate', ...args, '--json'], folder);
    assert.equal(code, exitCodes.ok, stderr);
    return lines[0] as unknown as Evaluation;
  };
  const both = await judge([model, picture, '--beside', other]);
  const alone = await judge([other, picture]);
  assert.deepEqual(both.mean.beside, { other: alone.mean.generated });
  assert.notDeepEqual(both.mean.generated, alone.mean.generated);
  assert.equal(both.beside?.[0].sha256, sha256Of(await readFile(other)));
  assert.deepEqual(shortNames(['a/x/model.onnx', 'y.onnx', 'file://r/z']), ['x', 'y', 'z']);
  assert.deepEqual(shortNames(['a/x.onnx', 'b/x.onnx']), ['a/x.onnx', 'b/x.onnx']);
});

test('what can not be evaluated is refused before anything is read', async () => {
  const refused = async (args: readonly string[], message: RegExp): Promise<void> => {
    const { code, stderr } = await runLockstep(['evaluate', ...args], folder);
    assert.equal(code, exitCodes.configuration, stderr);
    assert.match(stderr, message);
  };
  await mkdir(join(folder, 'empty'), { recursive: true });
  await refused([model, 'empty'], /no face to judge by.*FACES/s);
  await refused([model], /FACES/);
  await refused([model, faces, '--step', '4'], /--step.*unless MODEL is a run/s);
  await refused([model, faces, '--best'], /--best.*unless MODEL is a run/s);
  await writeFile(join(folder, 'empty', 'faces.png'), '');
  await refused([model, faces, '--out', 'empty'], /--out.*--force/s);
});
