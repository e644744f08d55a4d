// The page's API, asked without a browser: what it gives, and what it refuses in words.

import assert from 'node:assert/strict';
import { request } from 'node:http';
import { after, before, test } from 'node:test';
import fc from 'fast-check';
import type { RunPicture } from '../../../watch/history/picture.js';
import { eventfulStory, showRun, type ShownRun } from '../../support/watch/shown-run.js';

let run: ShownRun;
before(async () => {
  run = await showRun(eventfulStory().events);
});
after(() => run.close());

/** The path goes out as it is, which `fetch` would not do. */
function statusOf(path: string, options: object = {}): Promise<number | undefined> {
  const { port } = run.server;
  return new Promise((resolve, reject) => {
    const asked = request({ host: '127.0.0.1', port, path, ...options }, (response) => {
      response.resume();
      resolve(response.statusCode);
    });
    asked.on('error', reject).end();
  });
}
const ask = (path: string, headers = {}) => fetch(new URL(path, run.server.url), { headers });

test('picture, series and time line are those of the history', async () => {
  assert.deepEqual(await (await ask('api/picture')).json(), run.history.picture());
  assert.deepEqual(await (await ask('api/timeline')).json(), run.history.timeLine());
  const series = await (await ask('api/series?points=20&from=100&to=200')).json();
  assert.deepEqual(series, run.history.series({ points: 20, from: 100, to: 200 }));
});

test('pictures are asked for by a step, and nothing else', async () => {
  const first = await ask('frames/400.png');
  assert.equal(first.headers.get('content-type'), 'image/png');
  const etag = first.headers.get('etag') ?? '';
  assert.equal((await ask('frames/400.png', { 'if-none-match': etag })).status, 304);
  assert.notEqual((await ask('frames/300.png')).headers.get('etag'), etag);
  // The page of the next run at this address must not show this one's.
  for (const path of ['samples/400.png', 'frames/400.png', 'frames/400.png?generation=3'])
    assert.equal((await ask(path)).headers.get('cache-control'), 'private, no-cache', path);
  for (const path of [
    ...['/frames/', '/frames/400', '/frames/-1.png', '/frames/0400.png', '/frames/1e3.png'],
    ...['/frames/../run.json', '/frames/%2e%2e/run.json', '/frames/..%2frun.json', '/frames/7.png'],
    ...['/frames/1234567890123456.png', '/samples/history/400.png', '/run.json', '/watch/live'],
  ])
    assert.equal(await statusOf(path), 404, path);
});

test('whatever is asked for is answered, and wrong numbers are named', async () => {
  for (const query of ['points=-1', 'points=1e9', 'from=x', 'to=', 'points=10001'])
    assert.equal((await ask(`api/series?${query}`)).status, 400, query);
  assert.match(await (await ask('api/series?from=x')).text(), /from: a whole number from 0/);
  for (const path of ['/', '/api/picture', '/frames/400.png', '/api/stream'])
    for (const method of ['POST', 'PUT', 'DELETE'])
      assert.equal(await statusOf(path, { method }), 405, `${method} ${path}`);
  assert.equal(await statusOf('/api/stream', { method: 'HEAD' }), 200);
  assert.equal(await statusOf('/frames/400.png', { headers: { range: 'bytes=5-1' } }), 200);
  const start = fc.constantFrom('/frames/', '/samples/', '/api/series?', '/watch/', '/lib/');
  const rest = fc.stringMatching(/^[!-~]{0,60}$/);
  await fc.assert(
    fc.asyncProperty(start, rest, async (path, more) => {
      const status = await statusOf(path + more);
      assert.ok([200, 400, 404].includes(status ?? 0), `${path}${more}: ${status}`);
    }),
    { numRuns: 200 },
  );
});

test('a stream gives the picture at once, and when something is new', async () => {
  const reader = (await ask('api/stream')).body!.getReader();
  let text = '';
  const until = async (part: string): Promise<void> => {
    while (!text.includes(part)) text += Buffer.from((await reader.read()).value ?? []).toString();
  };
  await until('event: picture');
  const story = eventfulStory();
  story.step(200, 433);
  run.history.add(story.events.at(-1));
  run.watching.changed();
  await until('"step":433');
  await reader.cancel();
});

test('who asks gets the recent picture, and the stream soon the newest', async () => {
  const old = run.history.picture();
  const story = eventfulStory();
  story.step(210, 434);
  const other = await showRun(story.events, 0, { picture: () => old });
  try {
    const { step } = (await (await fetch(`${other.server.url}api/picture`)).json()) as RunPicture;
    assert.equal(step, old.step);
    const reader = (await fetch(`${other.server.url}api/stream`)).body!.getReader();
    let text = '';
    while (!text.includes('"step":434'))
      text += Buffer.from((await reader.read()).value ?? []).toString();
    assert.match(text, new RegExp(`"step":${old.step},`));
    await reader.cancel();
  } finally {
    await other.close();
  }
});
