// A run whose page is served, for tests: its history is made of events at hand, and its pictures
// are plain areas, each step's of another colour.

import sharp from 'sharp';
import { startHttpServer, type HttpServer } from '../../../shared/http/server.js';
import { ObjectNotFound } from '../../../shared/store/store.js';
import { createRunHistory } from '../../../watch/history/history.js';
import type { RunHistory } from '../../../watch/history/picture.js';
import { readPage } from '../../../watch/server/page-files.js';
import { createWatchServer, type WatchServer } from '../../../watch/server/watch-server.js';
import { createStory, firstTermWorld } from './run-story.js';
import { generationOf } from '../../../shared/words.js';

export interface ShownRun {
  readonly history: RunHistory;
  readonly watching: WatchServer;
  readonly server: HttpServer;
  close(): Promise<void>;
}

/** Serves the page of a history of these events; `port` 0 takes any. */
export async function showRun(
  events: readonly unknown[],
  port = 0,
  recent?: Pick<RunHistory, 'picture'>,
): Promise<ShownRun> {
  const history = createRunHistory();
  for (const event of events) history.add(event);
  const store = { get: (key: string) => pictureOf(key) };
  const watching = createWatchServer({
    ...{ history, store, page: await readPage(), everyMs: 100 },
    ...(recent && { recent }),
  });
  const server = await startHttpServer({
    ...{ host: '127.0.0.1', port, key: '--http', access: { kind: 'loopback' } },
    routes: watching.routes,
  });
  const close = (): Promise<void> => {
    watching.close();
    return server.close();
  };
  return { history, watching, server, close };
}

/** Three areas side by side, as a frame has generated, original and low resolution. */
async function pictureOf(key: string): Promise<Buffer> {
  const step = Number(/^samples\/(?:history\/)?step-(\d+)\.png$/.exec(key)?.[1]);
  if (Number.isNaN(step) || step % 1000 === 7) throw new ObjectNotFound('test:', key);
  const area = (red: number) => ({ r: red, g: (step / 40) % 256, b: 120 });
  const one = async (red: number) =>
    await sharp({ create: { width: 64, height: 64, channels: 3, background: area(red) } })
      .png()
      .toBuffer();
  const areas = await Promise.all([80, 140, 200].map(one));
  return await sharp({ create: { width: 192, height: 64, channels: 3, background: 'white' } })
    .composite(areas.map((input, i) => ({ input, left: 64 * i, top: 0 })))
    .png()
    .toBuffer();
}

/** A run of some minutes in which all happens that a page has a mark for. */
export function eventfulStory() {
  const story = createStory();
  const { tell } = story;
  story.started(0, { last_step: 600, until: 600 });
  story.world(2, firstTermWorld(1), 0, ['w-0', 'w-1']);
  const steps = (from: number, to: number, second: number): void => {
    for (let step = from; step <= to; step++)
      story.step(second + (step - from) / 4, step, {
        phase: step > 200 ? 'adversarial' : 'pixel',
        metrics: {
          'loss/generator': 0.2 / Math.sqrt(step) + 0.01 * Math.sin(step),
          'loss/pixel': 0.15 / Math.sqrt(step),
          ...(step > 200
            ? {
                ...{ 'loss/adversarial': 0.05 + 0.01 * Math.cos(step / 5) },
                ...{ 'loss/discriminator': 0.6, 'score/real': 0.7, 'score/fake': 0.3 },
              }
            : {}),
        },
        seconds: { data: 0.01, compute: 0.15, exchange: 0.06, update: 0.02, wait: 0.03 },
        ...{ images_per_s: 60 + 5 * Math.sin(step / 9), eta_s: (600 - step) / 4 },
        ...(step === 150 ? { skipped: true as const } : {}),
      });
  };
  const saved = (second: number, step: number): void => {
    tell(second, 'checkpoint.committed', { step, sha256: 'ab'.repeat(32), url: 'file:///x' });
    story.sample(second + 1, step, 20 + step / 100);
  };
  steps(1, 100, 5);
  saved(30, 100);
  tell(31, 'run.scaled', { workers: 3 });
  story.world(33, firstTermWorld(2), 100, ['w-0', 'w-1', 'w-2']);
  steps(101, 200, 34);
  saved(60, 200);
  steps(201, 260, 61);
  const lost = { worker: 'w-1', reason: 'sent nothing for 2 s', silent_ms: 2000 };
  tell(80, 'world.lost', { ...lost, generation: firstTermWorld(2) });
  tell(82, 'world.rolledBack', { generation: firstTermWorld(3), step: 200, from: 260 });
  story.world(82, firstTermWorld(3), 200, ['w-0', 'w-2']);
  steps(201, 300, 84);
  saved(110, 300);
  tell(112, 'run.noticed', { step: 300, text: 'the store is away: connection refused' });
  story.started(120, { term: 2, step: 300, last_step: 600, until: 600 });
  story.world(122, generationOf(2, 1), 300, ['w-0', 'w-1', 'w-2']);
  steps(301, 420, 124);
  saved(155, 400);
  const seconds = { data: 0.02, compute: 0.15, exchange: 0.06, update: 0.02, wait: 0.03 };
  const one = (worker: string, rank: number, compute: number) => ({
    ...{ worker, rank, stage: 'training', step: 420, host: `host-${rank}` },
    ...{ seconds: { ...seconds, compute }, waited_for: null },
    ...{ sent_bytes: 12_000_000, received_bytes: 12_000_000 },
  });
  tell(156, 'world.observed', {
    ...{ generation: generationOf(2, 1), step: 420 },
    workers: [one('w-1', 1, 0.25), one('w-0', 0, 0.15), one('w-2', 2, 0.16)],
    straggler: { worker: 'w-1', phase: 'compute', excess_s: 0.095 },
  });
  return story;
}
