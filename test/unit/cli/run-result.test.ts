// What a script reads at the end of a local run, however its processes left.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { keepLine, runResult, type KeptLines, type RunLine } from '../../../cli/local/run-lines.js';

const run: RunLine = { kind: 'run', run: 'r', url: 'file://runs/r', step: 4 };
const stopped: RunLine = { kind: 'stopped', step: 4, sha256: 'aa', reason: 'SIGTERM' };

function keptOf(...lines: readonly RunLine[]): KeptLines {
  return lines.reduce(keepLine, {});
}

test('the coordinator’s own last line is the result', () => {
  const result = runResult(keptOf(run, stopped), { code: 3, signal: null }, 2, true);
  assert.deepEqual(result, { exitCode: 3, line: stopped });
});

test('a coordinator that is killed leaves a last line, at its newest checkpoint', () => {
  const checkpoint = { kind: 'checkpoint', step: 8, sha256: 'bb' };
  const kept = keptOf(run, checkpoint, { kind: 'step', step: 9, images_per_s: 7 });
  assert.deepEqual(runResult(kept, { code: null, signal: 'SIGKILL' }, 2, false), {
    exitCode: 1,
    line: {
      ...{ kind: 'failed', run: 'r', url: 'file://runs/r', step: 8, sha256: 'bb', world: 2 },
      ...{ images_per_s: 7, reason: 'the coordinator was ended by SIGKILL', exit_code: 1 },
    },
  });
});

test('a worker that leaves early is the reason, not the stop that followed', () => {
  const early = { exitCode: 78, reason: 'worker-1 ended' };
  const { exitCode, line } = runResult(
    keptOf(run, stopped),
    { code: 3, signal: null },
    2,
    false,
    early,
  );
  assert.equal(exitCode, 78);
  assert.equal(line?.['kind'], 'failed');
  assert.equal(line?.['reason'], 'worker-1 ended');
  assert.equal(line?.['sha256'], 'aa');
});

test('workers that leave because the operator stopped are no failure', () => {
  const early = { exitCode: 3, reason: 'worker-1 ended' };
  const left = { code: 3, signal: null };
  assert.deepEqual(runResult(keptOf(run, stopped), left, 2, true, early).line, stopped);
});

test('before the run is opened there is no line; the exit code tells', () => {
  const refused = runResult({}, { code: 78, signal: null }, 2, false);
  assert.deepEqual(refused, { exitCode: 78, line: undefined });
  const interrupted = runResult({}, { code: null, signal: 'SIGTERM' }, 2, true);
  assert.deepEqual(interrupted, { exitCode: 130, line: undefined });
});

test('a coordinator that had to be ended after its result leaves that result', () => {
  const told = { ...stopped, exit_code: 3 };
  const result = runResult(keptOf(run, told), { code: null, signal: 'SIGKILL' }, 2, true);
  assert.deepEqual(result, { exitCode: 3, line: told });
});

test('a run that a stranger has taken over is none of ours any more', () => {
  const superseded = { kind: 'superseded', reason: 'term 9 leads' };
  const left = { code: 6, signal: null };
  const { exitCode, line } = runResult(keptOf(run, superseded), left, 2, false);
  assert.equal(exitCode, 6);
  assert.equal(line?.['reason'], 'another coordinator has taken the run over');
});
