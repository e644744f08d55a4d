// The page in headless Chromium: a face goes in as a person gives it, and comes out as on the
// command line.

import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import type { Browser } from 'playwright-core';
import sharp from 'sharp';
import { exportOnnx } from '../../inference/generator.js';
import { createLayout } from '../../shared/layout.js';
import { createSrganTask } from '../../task/srgan/task.js';
import {
  enlargeOn,
  openPage,
  pixelsOf,
  seriousFindings,
  startBrowser,
  withoutChromium,
  worstDifference,
} from './browser.js';
import { tinySpec } from '../support/engine/srgan-specs.js';
import { startLockstep, type RunningCommand } from '../support/lockstep-command.js';
import { upscaleFile } from '../support/models/upscale-file.js';
import { facesFolder } from '../support/pictures.js';
import { testFolder } from '../support/tiny-run.js';

const folder = testFolder();
const at = (name: string): string => join(folder, name);
const model = at('model.onnx');

describe('the page', { skip: withoutChromium }, () => {
  let browser: Browser;
  let server: RunningCommand;
  let url: string;

  before(async () => {
    const task = createSrganTask(tinySpec({ generator: { skip: 'bicubic', output: 'linear' } }));
    const parameters = task.initialParameters('generator', 5);
    // As if trained: what the network adds to the bicubic picture is well above rounding.
    const { slices } = createLayout(task.networks[0].parameters);
    const tail = slices.find(({ name }) => name === 'generator/tail/filter')!;
    for (let i = tail.offset; i < tail.offset + tail.size; i++) parameters[i] *= 10;
    await writeFile(model, exportOnnx(task, parameters, task.initialStatistics('generator')));
    const face = join(facesFolder, 'female', '1.jpg');
    await sharp(face).resize(64).png().toFile(at('face.png'));
    await upscaleFile(at('face.png'), at('expected.png'), { model, tile: 192 });
    browser = await startBrowser();
    server = startLockstep(['serve', model, '--port', '0', '--threads', '1', '--json'], folder);
    url = String((await server.line('listening'))['url']);
  });

  after(async () => {
    await browser?.close();
    server?.process.kill('SIGTERM');
    if (server !== undefined) assert.equal((await server.result).code, 0);
  });

  test('served, it gives the pixels of the command line, and asks nobody else', async () => {
    const { page, complaints, requests } = await openPage(browser, url);
    assert.deepEqual(await seriousFindings(page), []);
    const got = await enlargeOn(page, at('face.png'));
    assert.equal(worstDifference(got, await pixelsOf(at('expected.png'))), 0);
    assert.deepEqual(await seriousFindings(page), []);
    assert.deepEqual(complaints, []);
    assert.ok(requests.length > 5, `${requests.length} requests`);
    const others = requests.filter((each) => !each.startsWith(url) && !each.startsWith('blob:'));
    assert.deepEqual(others, []);
  });
});
