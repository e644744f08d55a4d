// A trace of a run that goes on: the file is what the Trace Event Format says, everything that
// happened in the steps is in it, the clocks agree as far as is said, and the bytes stay the same.

import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { before, test } from 'node:test';
import { exitCodes } from '../../../shared/exit-codes.js';
import { shareOf, subtreesInside } from '../../../shared/plan/reduction.js';
import type { ChromeEvent, TraceSummary } from '../../../watch/step-trace/chrome-trace.js';
import { lastLineOf, runLockstep, startLockstep } from '../../support/lockstep-command.js';
import { requireNesting } from '../../support/watch/trace-events.js';
import { testFolder, tinyRun, writeRuns } from '../../support/tiny-run.js';

const folder = testFolder();
const workers = 3;
const steps = 30;
const { discriminator, batch } = tinyRun('');

// Wide enough for a vector of several chunks, once both networks are trained, all of them sums.
const change = {
  steps,
  discriminator: { ...discriminator, hidden: 4_096 },
  exchange: { factored: 'never' as const },
};

interface TraceFile {
  readonly displayTimeUnit: string;
  readonly otherData: TraceSummary;
  readonly traceEvents: readonly ChromeEvent[];
}

before(() => writeRuns(folder, { traced: { ...change } }));

test('a traced run has the bytes of one that is not, and its trace has all of its steps', async () => {
  const alone = await lastLineOf(['train', '-f', 'traced.yaml', '--run', 'alone'], folder);
  const args = ['train', '-f', 'traced.yaml', '--workers', `${workers}`, '--run', 'watched'];
  const run = startLockstep([...args, '--json'], folder);
  await run.line('step', ({ step }) => Number(step) >= 2);
  const traced = await tracePrecisely([
    ...['trace', 'watched', '--steps', '4', '--out', 'trace.json', '--force'],
  ]);
  const { code, lines } = await run.result;
  assert.equal(code, exitCodes.ok);
  assert.equal(lines.at(-1)?.['sha256'], alone['sha256']);

  const file = JSON.parse(readFileSync(join(folder, 'trace.json'), 'utf8')) as TraceFile;
  const { file: path, ...summary } = traced;
  assert.equal(path, join(folder, 'trace.json'));
  assert.deepEqual(file.otherData, summary);
  checkFormat(file.traceEvents);
  const { first_step: first, steps: count } = traced as unknown as TraceSummary;
  assert.equal(count, 4);
  for (let step = first; step < first + count; step++) checkStep(file.traceEvents, step);
  checkArrows(file.traceEvents);
});

/** Traces until the clocks agree within a millisecond: on a busy machine a measurement may fail. */
async function tracePrecisely(args: readonly string[]): Promise<Record<string, unknown>> {
  for (let tries = 1; ; tries++) {
    const line = await lastLineOf(args, folder);
    const { workers: parts } = line as unknown as TraceSummary;
    assert.equal(parts.length, workers);
    for (const { clock_offset_ms: offset, clock_error_ms: error, trouble, dropped } of parts) {
      assert.deepEqual([trouble, dropped], ['', 0]);
      assert.ok(offset !== null && error !== null);
      // All processes have this machine's clock: the offset is 0, but for what a start rounds.
      assert.ok(Math.abs(offset) <= error + 0.01, `${offset} ms, within ${error} ms`);
    }
    if (parts.every(({ clock_error_ms: error }) => error !== null && error < 1)) return line;
    assert.ok(tries < 3, `clocks within ${JSON.stringify(parts)}`);
  }
}

/** https://docs.google.com/document/d/1CvAClvFfyA5R-PhYUmn5OOQtYMH4h6I0nSsKchNAySU */
function checkFormat(events: readonly ChromeEvent[]): void {
  for (const event of events) {
    const { ph, name, pid, tid, ts, dur } = event;
    assert.ok(name !== '' && Number.isInteger(pid) && Number.isInteger(tid));
    if (ph !== 'M') assert.ok(ts !== undefined && ts >= 0 && ts < 1e9, JSON.stringify(event));
    if (ph === 'X') assert.ok(dur !== undefined && dur >= 0, JSON.stringify(event));
    if (ph === 's' || ph === 'f') assert.ok(event.id !== undefined && event.cat === 'exchange');
  }
  const named = events.filter(({ name }) => name === 'process_name');
  assert.equal(new Set(named.map(({ pid }) => pid)).size, workers);
  requireNesting(events);
}

/** Every micro-shard is computed by its rank, and every chunk comes from where it is due. */
function checkStep(events: readonly ChromeEvent[], step: number): void {
  const inStep = events.filter(({ args }) => args?.['step'] === step);
  const named = (pid: number, pattern: RegExp): ChromeEvent[] =>
    inStep.filter((event) => event.pid === pid && pattern.test(event.name));
  for (let rank = 0; rank < workers; rank++) {
    const pid = rank + 1;
    for (const name of ['step', 'compile', 'update', 'report', 'checkpoint'])
      assert.equal(named(pid, new RegExp(`^${name}$`)).length, 1, `${name} of step ${step}`);
    const share = shareOf(rank, workers, batch.microShards);
    for (const part of ['data', 'compute']) {
      const shards = named(pid, new RegExp(`^${part} micro-shard`)).map(({ args }) =>
        Number(args?.['micro_shard']),
      );
      const due = Array.from({ length: share.end - share.start }, (_, i) => share.start + i);
      assert.deepEqual(shards, due);
    }
    const bytes = checkChunks(named(pid, /^receive chunk/), rank);
    assert.ok(bytes > 0);
    assert.equal(named(pid, /^exchange$/).length, 2, 'of the compute and of the network thread');
  }
}

/** The frames that a rank receives in a step; gives their bytes. */
function checkChunks(received: readonly ChromeEvent[], rank: number): number {
  const chunks = 1 + Math.max(...received.map(({ args }) => Number(args?.['chunk'])));
  assert.ok(chunks > 1, 'a vector of several chunks');
  const own = shareOf(rank, workers, chunks);
  const sumsOfOthers = Array.from({ length: workers }, (_, other) => other)
    .filter((other) => other !== rank)
    .flatMap((other) =>
      subtreesInside(shareOf(other, workers, batch.microShards), batch.microShards),
    );
  for (let chunk = 0; chunk < chunks; chunk++) {
    const isOwn = chunk >= own.start && chunk < own.end;
    const frames = received.filter(({ args }) => args?.['chunk'] === chunk);
    assert.equal(frames.length, isOwn ? sumsOfOthers.length : 1, `chunk ${chunk} of rank ${rank}`);
    assert.ok(frames.every(({ args }) => args?.['phase'] === (isOwn ? 'reduce' : 'gather')));
  }
  return received.reduce((sum, { args }) => sum + Number(args?.['bytes']), 0);
}

/** Every frame received in the steps has an arrow from the thread that sent it, forward in time. */
function checkArrows(events: readonly ChromeEvent[]): void {
  const received = events.filter(({ name }) => name.startsWith('receive chunk'));
  const ends = events.filter(({ ph }) => ph === 'f');
  const starts = new Map(events.flatMap((one) => (one.ph === 's' ? [[one.id, one]] : [])));
  assert.equal(ends.length, received.length);
  assert.equal(starts.size, received.length);
  for (const end of ends) {
    const start = starts.get(end.id);
    assert.ok(start !== undefined && start.pid !== end.pid);
    const sent = events.find(
      (one) =>
        one.ph === 'X' && one.pid === start.pid && one.ts === start.ts && /^send/.test(one.name),
    );
    const taken = received.find((one) => one.pid === end.pid && one.ts === end.ts);
    assert.deepEqual(sent?.args?.['chunk'], taken?.args?.['chunk']);
    // Two clocks, each right within a millisecond.
    assert.ok((end.ts ?? 0) - (start.ts ?? 0) > -2_000, `${start.ts} to ${end.ts}`);
  }
}

test('what can not be traced is refused before anything is lost', async () => {
  const run = startLockstep(['train', '-f', 'traced.yaml', '--run', 'short', '--json'], folder);
  await run.line('step');
  const refused = await Promise.all([
    runLockstep(['trace', 'short', '--steps', '0', '--out', 'none.json'], folder),
    runLockstep(['trace', 'short', '--out', 'traced.yaml/trace.json'], folder),
    runLockstep(['trace', 'short', '--out', 'runs', '--force'], folder),
    runLockstep(['trace', 'short', '--out', 'traced.yaml'], folder),
  ]);
  run.process.kill('SIGINT');
  await run.result;
  const ended = await runLockstep(['trace', 'short', '--out', 'none.json'], folder);
  const [none, nowhere, aFolder, there] = refused;
  assert.equal(none.code, exitCodes.configuration);
  assert.match(none.stderr, /--steps: given 0; allowed: a whole number from 1 to 1000/);
  assert.equal(nowhere.code, exitCodes.configuration);
  assert.match(nowhere.stderr, /--out: given .*trace.json"; allowed: a place in a folder/);
  assert.match(aFolder.stderr, /--out: .*a regular file.*there is a folder/);
  assert.match(there.stderr, /--out: .*a file that is not there yet.*--force/);
  assert.ok(!readdirSync(folder).some((name) => name.startsWith('.lockstep-partial')));
  assert.equal(ended.code, exitCodes.failed);
  assert.match(ended.stderr, /no coordinator answers/);
});
