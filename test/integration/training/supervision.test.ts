// A local run whose processes are killed, scaled and orphaned: it goes on by itself, ends with the
// bytes of a run that nothing happened to, and leaves no process behind.

import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it, test } from 'node:test';
import { exitCodes } from '../../../shared/exit-codes.js';
import { printSpec, tinyRun } from '../../support/tiny-run.js';
import { runLockstep, startLockstep, type RunningCommand } from '../../support/lockstep-command.js';
import { skipWithout, startNatsServer, type TestServer } from '../../support/servers.js';
import { packFaces } from '../../support/tiny-dataset.js';
import { until } from '../../support/until.js';

const steps = 240;
let folder: string;
let expected: unknown;

before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'lockstep-supervision-'));
  const url = `file://${folder}/dataset`;
  await packFaces(url, folder);
  const spec = { ...tinyRun(url, steps - 3), checkpoint: { everySteps: 60, keep: 3 } };
  await writeFile(join(folder, 'run.yaml'), printSpec(spec));
  const { lines, stderr } = await runLockstep(
    ['train', '-f', 'run.yaml', '--workers', '1', '--run', 'whole', '--json'],
    folder,
  );
  expected = lines.at(-1)?.['sha256'];
  assert.match(String(expected), /^[0-9a-f]{64}$/, stderr);
});

after(() => rm(folder, { recursive: true }));

function train(run: string, ...more: string[]): RunningCommand {
  const args = ['train', '-f', 'run.yaml', '--run', run, '--workers', '2', ...more, '--json'];
  return startLockstep(args, folder);
}

type Line = Record<string, unknown>;

function stepAfter(running: RunningCommand, step: number): Promise<Line> {
  return running.line('step', (line) => Number(line['step']) > step);
}

async function finish(running: RunningCommand): Promise<readonly Line[]> {
  const { code, lines, stderr } = await running.result;
  assert.equal(code, exitCodes.ok, `${stderr}\n${JSON.stringify(lines.slice(-5))}`);
  assert.equal(lines.at(-1)?.['kind'], 'finished');
  assert.equal(lines.at(-1)?.['step'], steps);
  assert.equal(lines.at(-1)?.['sha256'], expected);
  const toldSteps = lines.filter(({ kind }) => kind === 'step').map(({ step }) => step);
  assert.equal(new Set(toldSteps).size, toldSteps.length, 'no step is told twice');
  for (const { pid } of lines.filter(({ kind }) => kind === 'worker' || kind === 'coordinator'))
    assert.ok(!isAlive(Number(pid)), `process ${String(pid)} is left behind`);
  return lines;
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

test('a killed worker is started again and the run ends with the same bytes', async () => {
  const running = train('worker-killed');
  const { pid } = await running.line('worker', (line) => line['worker'] === 'worker-1');
  await stepAfter(running, 20);
  process.kill(Number(pid), 'SIGKILL');
  const lines = await finish(running);
  const texts = lines.filter(({ kind }) => kind === 'notice').map(({ text }) => text);
  assert.ok(texts.includes('worker-1 was ended by SIGKILL; started again'), texts.join('\n'));
  assert.equal(lines.at(-1)?.['world'], 2);
});

test('a killed coordinator is started again at its address, and no step waits for it', async () => {
  const running = train('coordinator-killed');
  const { pid, address } = await running.line('coordinator');
  await stepAfter(running, 20);
  process.kill(Number(pid), 'SIGKILL');
  const again = await running.line('coordinator', (line) => line['pid'] !== pid);
  assert.equal(again['address'], address);
  const lines = await finish(running);
  const terms = lines.filter(({ kind }) => kind === 'listening').map(({ term }) => term);
  assert.deepEqual(terms, [1, 2]);
  // The workers kept their world.
  assert.equal(lines.filter(({ kind }) => kind === 'world').length, 1);
});

test('lockstep scale starts workers and lets others go, status sees it, the bytes stay', async () => {
  const running = train('scaled');
  await stepAfter(running, 20);
  const scale = (workers: string) =>
    runLockstep(['scale', 'scaled', '--workers', workers, '--json'], folder);
  assert.deepEqual((await scale('3')).lines, [{ run: 'scaled', before: 2, workers: 3 }]);
  const isOf = (size: number) => (line: Line) =>
    (line['members'] as readonly unknown[]).length === size;
  await running.line('world', isOf(3));
  const { lines } = await runLockstep(['status', 'scaled', '--json'], folder);
  assert.equal(lines[0]?.['world'], 3);
  assert.equal(lines[0]?.['target'], 3);
  assert.deepEqual((await scale('1')).lines, [{ run: 'scaled', before: 3, workers: 1 }]);
  await running.line('world', isOf(1));
  const refused = await scale('6');
  assert.equal(refused.code, exitCodes.configuration);
  assert.match(refused.stderr, /1 to 5/);
  const told = await finish(running);
  assert.equal(told.filter(({ kind }) => kind === 'worker').length, 3, 'none is started again');
});

test('without restarts a lost worker is not replaced; the others end the run', async () => {
  const running = train('no-restarts', '--restarts', '0');
  const { pid } = await running.line('worker', (line) => line['worker'] === 'worker-0');
  await stepAfter(running, 20);
  process.kill(Number(pid), 'SIGKILL');
  const lines = await finish(running);
  assert.equal(lines.filter(({ kind }) => kind === 'worker').length, 2);
});

test('when lockstep train itself is killed, all its processes end', async () => {
  const running = train('orphaned', '--set', 'phases.1.steps=100000');
  const { pid: coordinator } = await running.line('coordinator');
  const { pid: one } = await running.line('worker', (line) => line['worker'] === 'worker-0');
  const { pid: two } = await running.line('worker', (line) => line['worker'] === 'worker-1');
  await stepAfter(running, 5);
  const pids = [coordinator, one, two].map(Number);
  running.process.kill('SIGKILL');
  await until(() => !pids.some(isAlive), 'all have ended', 20_000);
});

describe('a run with a standby', { skip: skipWithout('nats-server') }, () => {
  let server: TestServer;
  before(async () => {
    server = await startNatsServer();
  });
  after(() => server.close());

  it('is taken over within 15 s when its coordinator is frozen, and fences it', async () => {
    const running = train('taken-over', '--nats', server.url, '--standby');
    const { pid } = await running.line('coordinator');
    const second = await running.line('coordinator', (line) => line['pid'] !== pid);
    await stepAfter(running, 10);
    process.kill(Number(pid), 'SIGSTOP');
    const frozenMs = performance.now();
    const { address } = await running.line('listening', (line) => line['term'] === 2);
    assert.ok(performance.now() - frozenMs < 15_000);
    assert.equal(address, second['address']);
    process.kill(Number(pid), 'SIGCONT');
    await finish(running);
  });
});
