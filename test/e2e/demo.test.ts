import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import sharp from 'sharp';
import { shortfalls, type DemoMetrics } from '../../cli/demo/verdict.js';
import { runLockstep } from '../support/lockstep-command.js';

// The whole demo, with few steps and a small network: everything is left, and the exit code says
// what the figures say. How well the real one does is the demo's own business.
const fewSteps = [
  'generator.blocks=1',
  'generator.channels=8',
  'generator.upsamplingChannels=16',
  'discriminator.channels=4',
  'discriminator.hidden=8',
  'phases.0.steps=6',
  'phases.1.steps=4',
  'phases.2.steps=2',
  'evaluation.everySteps=2',
  'evaluation.limit=4',
].flatMap((override) => ['--set', override]);

test('the demo leaves pictures, models and metrics in one folder', async (t) => {
  const cwd = await mkdtemp(join(tmpdir(), 'lockstep-demo-'));
  t.after(() => rm(cwd, { recursive: true }));
  const { code, stderr } = await runLockstep(['demo', ...fewSteps], cwd, {}, 240_000);
  const out = join(cwd, 'demo-out');
  const metrics = JSON.parse(
    await readFile(join(out, 'metrics.json'), 'utf8').catch(() => assert.fail(stderr)),
  ) as DemoMetrics;

  const { quality, step, workers, history, sha256 } = metrics;
  assert.equal(code, shortfalls(metrics).length === 0 ? 0 : 1);
  assert.deepEqual([step, workers], [12, 2]);
  assert.match(sha256, /^[0-9a-f]{64}$/);
  assert.equal(history.at(-1)?.step, 12);
  assert.ok(quality.bicubic.psnr > 20 && quality.bicubic.psnr < 32);
  assert.notEqual(quality.pixel.psnr, quality.gan.psnr);
  assert.match(stderr, /stop(s|ped)? at|resuming/i);

  const grid = await sharp(join(out, 'faces.png')).metadata();
  assert.ok(grid.width > 5 * 128, 'a column for each of the three, the original, the small one');
  const film = await sharp(join(out, 'history.gif'), { animated: true }).metadata();
  assert.equal(film.pages, new Set(history.map((one) => one.step)).size);
  const model = JSON.parse(await readFile(join(out, 'tfjs', 'model.json'), 'utf8')) as object;
  assert.ok('modelTopology' in model);

  const onnx = ['--model', 'demo-out/gan/model.onnx'];
  const upscale = ['upscale', 'demo-out/history.gif', '--out', 'larger.png', ...onnx];
  assert.equal((await runLockstep(upscale, cwd)).code, 0);
  assert.equal((await sharp(join(cwd, 'larger.png')).metadata()).width, 4 * film.width);
});
