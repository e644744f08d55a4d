// The page in headless Chromium: a face goes in as a person gives it, and comes out as on the
// command line.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import type { Browser } from 'playwright-core';
import sharp from 'sharp';
import { exportShippedPage } from '../../inference/export-files.js';
import { exportOnnx, exportTfjs } from '../../inference/generator.js';
import type { ShippedModel } from '../../inference/models.js';
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
import { facesFolder, writeFiles } from '../support/pictures.js';
import { testFolder } from '../support/tiny-run.js';

const folder = testFolder();
const at = (name: string): string => join(folder, name);
const model = at('model.onnx');

const mediaTypes: Readonly<Record<string, string>> = {
  ...{ html: 'text/html', js: 'text/javascript', css: 'text/css' },
  ...{ svg: 'image/svg+xml', json: 'application/json', wasm: 'application/wasm' },
};

/** A server as simple as there is: files by their paths, and no headers but their type. */
function serveFolder(root: string): Server {
  return createServer((request, response) => {
    const name = request.url === '/' ? '/index.html' : (request.url ?? '');
    const type = mediaTypes[name.split('.').at(-1) ?? ''] ?? 'application/octet-stream';
    readFile(join(root, name)).then(
      (bytes) => response.writeHead(200, { 'Content-Type': type }).end(bytes),
      () => response.writeHead(404).end(),
    );
  });
}

describe('the page', { skip: withoutChromium }, () => {
  let browser: Browser;
  let server: RunningCommand;
  let files: Server;
  let served: string;
  let exported: string;

  before(async () => {
    const task = createSrganTask(tinySpec({ generator: { skip: 'bicubic', output: 'linear' } }));
    const parameters = task.initialParameters('generator', 5);
    // As if trained: what the network adds to the bicubic picture is well above rounding.
    const { slices } = createLayout(task.networks[0].parameters);
    const tail = slices.find(({ name }) => name === 'generator/tail/filter')!;
    for (let i = tail.offset; i < tail.offset + tail.size; i++) parameters[i] *= 10;
    const statistics = task.initialStatistics('generator');
    const { topology, weights } = exportTfjs(task, parameters, statistics);
    await writeFiles(folder, {
      'model.onnx': exportOnnx(task, parameters, statistics),
      'model.json': topology,
      'weights.bin': weights,
      'notes.png': 'no picture',
    });
    const shipped = { name: 'tiny', path: model } as ShippedModel;
    await exportShippedPage(shipped, { folder: at('web'), isForced: false });
    const face = join(facesFolder, 'female', '1.jpg');
    await sharp(face).resize(64).png().toFile(at('face.png'));
    // Cut into tiles where the model runs in the browser.
    await sharp(face).resize(200, 150).png().toFile(at('wide.png'));
    await sharp({ create: { width: 1100, height: 1000, channels: 3, background: '#123' } })
      .png()
      .toFile(at('large.png'));
    browser = await startBrowser();
    server = startLockstep(
      ['serve', model, '--port', '0', '--threads', '1', '--json'],
      folder,
      {},
      800_000,
    );
    served = String((await server.line('listening'))['url']);
    files = serveFolder(at('web')).listen(0, '127.0.0.1');
    await once(files, 'listening');
    exported = `http://127.0.0.1:${(files.address() as AddressInfo).port}/`;
  });

  after(async () => {
    await browser?.close();
    files?.close();
    server?.process.kill('SIGTERM');
    if (server !== undefined) assert.equal((await server.result).code, 0);
  });

  const pages: readonly [string, () => string, number][] = [
    ['served', () => served, 0],
    ['exported, with the model in the browser', () => exported, 1],
  ];

  for (const [name, urlOf, most] of pages) {
    test(`${name}, it gives the pixels of the command line, and asks nobody else`, async () => {
      const url = urlOf();
      const { page, complaints, requests } = await openPage(browser, url);
      for (const picture of ['face.png', 'wide.png']) {
        const got = await enlargeOn(page, at(picture));
        const expected = await onCommandLine(picture);
        assert.ok(worstDifference(got, await pixelsOf(expected)) <= most, picture);
      }
      assert.deepEqual(complaints, []);
      assert.ok(requests.length > 5, `${requests.length} requests`);
      const others = requests.filter((each) => !each.startsWith(url) && !each.startsWith('blob:'));
      assert.deepEqual(others, []);
    });

    test(`${name}, it says what is wrong with a picture, and takes the next`, async () => {
      const { page } = await openPage(browser, urlOf());
      const wrong: readonly [string, RegExp][] = [
        ['notes.png', /can’t read this as a picture/],
        ['large.png', /1100 × 1000 pixels; at most 1,048,576/],
      ];
      for (const [picture, message] of wrong) {
        await page.locator('#file').setInputFiles(at(picture));
        await page.locator('#problem', { hasText: message }).waitFor();
      }
      await enlargeOn(page, at('face.png'));
      assert.ok(!(await page.locator('#problem').isVisible()));
    });
  }

  for (const colorScheme of ['light', 'dark'] as const)
    test(`axe finds nothing serious, and the keyboard moves the divider: ${colorScheme}`, async () => {
      const viewport = { width: 390, height: 844 };
      const context = await browser.newContext({ colorScheme, viewport, reducedMotion: 'reduce' });
      const { page } = await openPage(context, served);
      assert.deepEqual(await seriousFindings(page), []);
      await page.locator('#file').setInputFiles(at('notes.png'));
      await page.locator('#problem').waitFor({ state: 'visible' });
      assert.deepEqual(await seriousFindings(page), []);
      await enlargeOn(page, at('face.png'));
      assert.deepEqual(await seriousFindings(page), []);
      await page.locator('#divider').focus();
      await page.keyboard.press('ArrowLeft');
      const divider = await page.evaluate(
        "getComputedStyle(document.querySelector('#compare')).getPropertyValue('--divider')",
      );
      assert.equal(divider, '49%');
      const width = await page.evaluate('document.documentElement.scrollWidth');
      assert.ok(Number(width) <= viewport.width, `${width} pixels wide`);
      await context.close();
    });
});

/** What `lockstep upscale` makes of a picture. */
async function onCommandLine(picture: string): Promise<string> {
  const output = at(`${picture}.expected.png`);
  await upscaleFile(at(picture), output, { model, isForced: true });
  return output;
}
