// A headless Chromium with the page open, for tests: a picture is given to it as a person does, and
// what it shows, says and asks for is looked at.

import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { chromium, type Browser, type BrowserContext, type Page } from 'playwright-core';
import sharp from 'sharp';

const programs = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'];
const program = programs.find((path) => existsSync(path));

/** Why tests with a browser are skipped; false where Chromium is there. */
export const withoutChromium =
  program === undefined ? `needs Chromium, at one of ${programs.join(', ')}` : false;

/** Starts Chromium; whoever starts it closes it. */
export function startBrowser(): Promise<Browser> {
  // Without a user namespace, as in a container, it has no sandbox.
  return chromium.launch({ executablePath: program, args: ['--no-sandbox'] });
}

/** The page, with what it complained of and every address it asked for. */
export interface OpenPage {
  readonly page: Page;
  readonly complaints: string[];
  readonly requests: string[];
}

/** Opens the page at `url`, ready to take a picture. */
export async function openPage(context: BrowserContext | Browser, url: string): Promise<OpenPage> {
  const page = await context.newPage();
  const [complaints, requests] = [[] as string[], [] as string[]];
  page.on('console', (line) => {
    if (line.type() === 'error' || line.type() === 'warning') complaints.push(line.text());
  });
  page.on('pageerror', (error) => complaints.push(String(error)));
  page.on('request', (request) => requests.push(request.url()));
  await page.goto(url);
  await page.locator('#choose').waitFor({ state: 'visible' });
  return { page, complaints, requests };
}

/** Gives the page a file and waits for the enlarged picture; its RGBA pixels, as downloaded. */
export async function enlargeOn(page: Page, file: string): Promise<Buffer> {
  await page.locator('#file').setInputFiles(file);
  const ended = page.locator('#result, #problem').filter({ visible: true });
  await ended.waitFor({ timeout: 120_000 });
  const problem = page.locator('#problem');
  assert.ok(!(await problem.isVisible()), (await problem.textContent()) ?? '');
  const [download] = await Promise.all([
    page.waitForEvent('download'),
    page.locator('#download').click(),
  ]);
  return pixelsOf(await readFile(await download.path()));
}

/** RGBA pixels of a picture file. */
export function pixelsOf(picture: Uint8Array | string): Promise<Buffer> {
  return sharp(picture).toColourspace('srgb').ensureAlpha().raw().toBuffer();
}

/** The largest difference between two pictures' samples. */
export function worstDifference(a: Uint8Array, b: Uint8Array): number {
  assert.equal(a.length, b.length);
  return a.reduce((worst, value, i) => Math.max(worst, Math.abs(value - b[i])), 0);
}

/** What axe finds serious or critical on the page as it stands, as "rule: element". */
export async function seriousFindings(page: Page): Promise<string[]> {
  const axe = createRequire(import.meta.url).resolve('axe-core/axe.min.js');
  // The page's own policy lets no script in but its own.
  await page.evaluate(await readFile(axe, 'utf8'));
  const findings = await page.evaluate(`axe.run().then(({ violations }) => violations
    .filter(({ impact }) => impact === 'serious' || impact === 'critical')
    .flatMap(({ id, nodes }) => nodes.map(({ html }) => id + ': ' + html.slice(0, 120))))`);
  return findings as string[];
}
