// The page of a real run in headless Chromium: one that loses a worker, is joined by another, and
// loses its coordinator. The page stays open all the time, and the run ends with the same bytes.

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import type { Browser, Page } from 'playwright-core';
import { startBrowser, withoutChromium } from './browser.js';
import { membersOf, openStage, type Stage } from '../support/watched-run.js';

const textOf = async (page: Page, selector: string): Promise<string> =>
  (await page.locator(selector).allTextContents()).join(' ');

describe('the page of a real run', { skip: withoutChromium }, () => {
  let browser: Browser;
  let stage: Stage;

  before(async () => {
    stage = await openStage(600);
    browser = await startBrowser();
  });
  after(async () => {
    await browser?.close();
    await stage?.close();
  });

  test('it shows a loss, a join and a coordinator that is back', async () => {
    const args = ['--http', '127.0.0.1:0', '--set', 'evaluation.everySteps=20'];
    const run = stage.start({ workers: 2, steps: 600, args });
    const url = String((await run.line('page')).line['url']);
    const page = await browser.newPage();
    const complaints: string[] = [];
    page.on('pageerror', (error) => complaints.push(String(error)));
    await page.goto(url);
    await run.step(8);
    await run.signal('worker-1', 'SIGKILL');
    await page.locator('.news li.lost').first().waitFor({ timeout: 60_000 });
    await run.scale(3);
    await page.locator('.news li.joined').first().waitFor({ timeout: 60_000 });
    const { line } = await run.line('world', (world) => membersOf(world).length === 3);
    await run.step(Number(line['step']) + 20);
    const killed = await run.signal('coordinator', 'SIGKILL');
    await page.locator('.away').waitFor({ timeout: 30_000 });
    // The next coordinator serves the page at the same address.
    assert.equal((await run.line('page', undefined, killed.atMs)).line['url'], url);
    await page.locator('.away').waitFor({ state: 'detached', timeout: 60_000 });
    await page.reload();
    await page.locator('.faces img').waitFor({ timeout: 60_000 });
    // What happened before the coordinator started is there, but for the last seconds.
    for (const hasText of ['joined', 'lost', 'coordinator', 'checkpoint'])
      await page.locator('.marks li', { hasText }).first().waitFor({ timeout: 60_000 });
    assert.equal(await textOf(page, '.chart .empty'), '');
    const legends = await textOf(page, '.chart .legend');
    for (const text of ['generator', 'D(real)', 'D(fake)', 'bicubic', 'images a second'])
      assert.ok(legends.includes(text), `${text} in ${legends}`);
    await page.locator('.bars li').nth(2).waitFor({ timeout: 60_000 });
    // The next coordinator starts, until it has heard of the world that goes on.
    await page.locator('.state.running').waitFor({ timeout: 30_000 });
    assert.match(await textOf(page, '.head'), /running.*step \d+.*dB.*B sent.*%/s);
    const image = page.locator('.faces img');
    const newest = await bytesOf(page, (await image.getAttribute('src')) ?? '');
    await page.locator('.faces input').fill('0');
    const picture = await (await fetch(new URL('api/picture', url))).json();
    const [first] = (picture as { readonly sample_steps: number[] }).sample_steps;
    await page.locator(`.faces img[src^="frames/${first}.png"]`).waitFor();
    assert.notEqual((await bytesOf(page, (await image.getAttribute('src')) ?? ''))[1], newest[1]);
    await page.locator('.state.finished').waitFor({ timeout: 120_000 });
    await page.locator('.away').waitFor({ timeout: 30_000 });
    assert.match(await textOf(page, '.away'), /has ended/);
    assert.deepEqual(complaints, []);
    await stage.check(run, 600);
  });
});

/** The address, and the bytes that are there, as text. */
async function bytesOf(page: Page, source: string): Promise<readonly [string, string]> {
  const script = `fetch('${source}').then((answer) => answer.arrayBuffer())
    .then((bytes) => [...new Uint8Array(bytes)].join())`;
  return [source, String(await page.evaluate(script))];
}
