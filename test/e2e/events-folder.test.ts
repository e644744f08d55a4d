// The events in the folder of a run whose coordinator is killed in the midst of it: the last seconds
// may be missing, nothing else is, and nothing is there twice.

import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { exitCodes } from '../../shared/exit-codes.js';
import type { ParsedEvent } from '../../shared/events/bus.js';
import { readEvents } from '../../shared/events/event-log.js';
import { openStore } from '../../shared/store/open-store.js';
import { termOf } from '../../shared/words.js';
import { testFolder, writeRuns } from '../support/tiny-run.js';
import { WatchedRun } from '../support/watched-run.js';

/** As long as an event may stay out of the folder, and be written to it. */
const lostMs = 5_000 + 2_000;

test("a killed coordinator takes the last seconds of a run's events with it, at most", async () => {
  const folder = testFolder();
  await writeRuns(folder, { long: { steps: 20_000, checkpoint: { everySteps: 5_000, keep: 2 } } });
  const args = ['train', '-f', 'long.yaml', '--run', 'told', '--workers', '2'];
  const run = new WatchedRun({ args, cwd: folder, limitMs: 120_000 });
  try {
    const first = await run.step(1);
    await run.until(() => performance.now() > first.atMs + lostMs + 1_000, 'some seconds of steps');
    const { atMs } = await run.signal('coordinator', 'SIGKILL');
    await run.line('step', undefined, (await run.line('run', undefined, atMs)).atMs);
    run.stop();
    assert.equal((await run.end()).code, exitCodes.stopped);

    const events = await eventsIn(join(folder, 'runs/told'));
    const started = events.filter(({ type }) => type === 'run.started');
    assert.deepEqual(
      started.map(({ data }) => 'term' in data && data.term),
      [1, 2],
    );
    assert.equal(events.at(-1)?.type, 'run.stopped');
    const ofTerms = [
      events.slice(0, events.indexOf(started[1])),
      events.slice(events.indexOf(started[1])),
    ];
    for (const one of ofTerms) assert.equal(new Set(one.map(({ id }) => id)).size, one.length);
    const told = run.lines.filter(({ kind }) => kind === 'step');
    const early = told.filter((line) => line.atMs < atMs - lostMs).map(({ line }) => line['step']);
    const stepsOf = (of: readonly ParsedEvent[]): Set<number> =>
      new Set(of.flatMap(({ type, data }) => (type === 'step.committed' ? [data.step] : [])));
    const [before, all] = [stepsOf(ofTerms[0]), stepsOf(events)];
    assert.ok(early.length > 0, run.transcript());
    for (const step of early) assert.ok(before.has(Number(step)), `step ${step} is missing`);
    // Steps are told to each new coordinator since the last checkpoint: what was lost is there.
    const newest = Math.max(...all);
    for (let step = 1; step <= newest; step++) assert.ok(all.has(step), `step ${step}`);
    const taken = events.flatMap((event) => (event.type === 'step.committed' ? [event] : []));
    for (const { data } of taken) assert.equal(termOf(data.generation), 1, 'one world all along');
    assert.ok(events.some(({ type }) => type === 'world.observed'));
  } finally {
    await run.close();
  }
});

async function eventsIn(folder: string): Promise<ParsedEvent[]> {
  const store = openStore(`file://${folder}`);
  const events: ParsedEvent[] = [];
  for await (const event of readEvents(store)) events.push(event);
  await store.close();
  return events;
}
