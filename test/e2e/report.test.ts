// The report in Chromium: the file that a run leaves, and one of two runs side by side. They open
// from file://, ask for nothing, and have curves, faces and tables.

import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { pathToFileURL } from 'node:url';
import type { Browser, Page } from 'playwright-core';
import { exitCodes } from '../../shared/exit-codes.js';
import { lastLineOf, runLockstep } from '../support/lockstep-command.js';
import { testFolder, writeRuns } from '../support/tiny-run.js';
import { until } from '../support/until.js';
import { seriousFindings, startBrowser, withoutChromium } from './browser.js';

const skip = withoutChromium;
const folder = testFolder();
let browser: Browser;

before(async () => {
  if (skip !== false) return;
  browser = await startBrowser();
  const evaluation = { everySteps: 3, faces: 2, limit: 3 };
  await writeRuns(folder, {
    left: { steps: 9, evaluation },
    right: { steps: 8, evaluation, ema: 0 },
  });
});
after(() => browser?.close());

async function openReport(file: string, size = { width: 1400, height: 900 }) {
  const page = await browser.newPage({ viewport: size });
  const [complaints, requests] = [[] as string[], [] as string[]];
  page.on('console', (line) => complaints.push(line.text()));
  page.on('pageerror', (error) => complaints.push(String(error)));
  page.on('request', (request) => requests.push(request.url()));
  await page.goto(pathToFileURL(file).href);
  await page.locator('.faces img').first().waitFor();
  return { page, complaints, requests };
}

/** Its charts have lines: canvases that are not blank. */
async function drawnCharts(page: Page): Promise<number> {
  return await page.evaluate<number>(`[...document.querySelectorAll('.chart canvas')].filter((canvas) =>
    canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data.some((v) => v > 0)
  ).length`);
}

test('a run leaves a report, which opens from file:// and asks for nothing', { skip }, async () => {
  const args = ['train', '-f', 'left.yaml', '--workers', '2', '--run', 'left', '--json'];
  const { code, lines, stderr } = await runLockstep(args, folder);
  assert.equal(code, exitCodes.ok, stderr);
  const file = join(folder, 'runs/left/report.html');
  assert.equal(lines.find(({ kind }) => kind === 'report')?.['url'], `file://${file}`);
  const { page, complaints, requests } = await openReport(file);
  const text = await page.locator('body').innerText();
  for (const told of ['left', 'finished', 'Goodput', 'step 9', 'Checkpoints of left', 'onnx/'])
    assert.ok(text.includes(told), `${told} is not in:\n${text}`);
  const sha256 = String(lines.at(-1)?.['sha256']);
  assert.ok(text.includes(sha256));
  await until(async () => (await drawnCharts(page)) >= 4, 'charts with lines');
  assert.ok(!text.includes('No step has been taken yet'), text);

  const image = page.locator('.faces img');
  const newest = await image.getAttribute('src');
  const slider = page.locator('.faces input[type=range]');
  await slider.focus();
  await page.keyboard.press('Home');
  await until(async () => (await image.getAttribute('src')) !== newest, 'the faces move');
  assert.match((await image.getAttribute('src')) ?? '', /^data:image\/png;base64,/);

  assert.deepEqual(await seriousFindings(page), []);
  assert.deepEqual(complaints, []);
  assert.deepEqual(
    requests.filter((url) => !url.startsWith('data:')),
    [pathToFileURL(file).href],
  );
  await page.close();
});

test('two runs stand side by side, with what differs in their specs', { skip }, async () => {
  await lastLineOf(['train', '-f', 'right.yaml', '--run', 'right', '--stop-after', '6'], folder, 3);
  const file = join(folder, 'both.html');
  const last = await lastLineOf(['report', 'left', 'right', '--out', 'both.html'], folder);
  assert.equal(last['file'], file);
  const { page, complaints, requests } = await openReport(file, { width: 390, height: 800 });
  const differences = page.getByRole('region', { name: 'What differs in the specs' });
  assert.match(await differences.innerText(), /ema\s+0\.3\s+0\s+phases\.1\.steps\s+6\s+5/);
  const results = await page.getByRole('region', { name: 'Results' }).innerText();
  assert.match(results, /finished.*stopped/s);
  assert.equal(await page.locator('.faces img').count(), 2);
  await until(async () => (await drawnCharts(page)) >= 4, 'charts with lines');
  const wide = await page.evaluate('document.documentElement.scrollWidth > innerWidth');
  assert.equal(wide, false, 'it is wider than a phone');
  assert.deepEqual(await seriousFindings(page), []);
  assert.deepEqual(complaints, []);
  assert.deepEqual(
    requests.filter((url) => !url.startsWith('data:')),
    [pathToFileURL(file).href],
  );
  await page.close();
});

test(
  'a report is read without scripts too, and no file is replaced unasked',
  { skip },
  async () => {
    const again = await runLockstep(['report', 'left', '--out', 'both.html'], folder);
    assert.equal(again.code, exitCodes.configuration);
    assert.match(again.stderr, /--force/);
    assert.ok(existsSync(join(folder, 'both.html')));
    const context = await browser.newContext({ javaScriptEnabled: false });
    const page = await context.newPage();
    await page.goto(pathToFileURL(join(folder, 'both.html')).href);
    const text = await page.locator('body').innerText();
    assert.match(text, /JavaScript, which is off/);
    assert.match(text, /PSNR/);
    await context.close();
  },
);
