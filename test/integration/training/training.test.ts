// Trainings on real processes that nothing strikes: any number of workers, stops and resumes, and
// what is refused before anything is written.

import assert from 'node:assert/strict';
import { before, test } from 'node:test';
import { exitCodes } from '../../../shared/exit-codes.js';
import { testAnyWorkers } from '../../support/any-workers.js';
import { testFolder, writeRuns } from '../../support/tiny-run.js';
import { lastLineOf, runLockstep, startLockstep } from '../../support/lockstep-command.js';
import { skipWithoutTensorflow } from '../../support/servers.js';

const folder = testFolder();

before(() => {
  const checkpoint = { everySteps: 100_000, keep: 3 };
  return writeRuns(folder, { six: {}, endless: { steps: 100_000, checkpoint } });
});

testAnyWorkers({
  engine: { name: 'onnx', threads: 1 },
  worlds: [[1], [2, '--lanes', '2'], [3], [5]],
});

test('a GPU that is asked for and not there ends the run, which says why', async () => {
  const args = ['train', '-f', 'six.yaml', '--set', 'engine.name=tensorflow', '--run', 'no-gpu'];
  const environment = { CUDA_VISIBLE_DEVICES: '0' };
  const gpus = ['--gpus', '0', '--json'];
  const { code, lines, stderr } = await runLockstep([...args, ...gpus], folder, environment);
  assert.equal(code, exitCodes.configuration);
  const why = skipWithoutTensorflow === false ? /finds no GPU/ : /is not set up/;
  assert.match(JSON.stringify(lines) + stderr, why);
});

test('SIGINT stops after a step with a checkpoint, and the run goes on from there', async () => {
  const args = ['train', '-f', 'endless.yaml', '--workers', '2', '--run', 'interrupted', '--json'];
  const running = startLockstep(args, folder);
  await running.line('step', (line) => Number(line['step']) >= 5);
  running.process.kill('SIGINT');
  const { code, lines } = await running.result;
  assert.equal(code, exitCodes.stopped);
  const { kind, step } = lines.at(-1) ?? {};
  assert.equal(kind, 'stopped');
  const next = Number(step) + 1;
  const resume = ['resume', 'interrupted', '--workers', '1', '--stop-after', `${next}`];
  assert.equal((await lastLineOf(resume, folder, exitCodes.stopped))['step'], next);
});

test('a worker that its peers can not reach is left out, and the run goes on', async () => {
  const served = ['coordinator', '-f', 'six.yaml', '--run', 'apart', '--workers', '2'];
  const coordinator = startLockstep([...served, '--listen', '127.0.0.1:0', '--json'], folder);
  const { address } = await coordinator.line('listening');
  const join = ['worker', '--coordinator', String(address), '--listen', '127.0.0.1:0'];
  const workers = [
    runLockstep([...join, '--id', 'near'], folder),
    // Nothing listens on this other loopback address.
    runLockstep([...join, '--id', 'remote', '--advertise', '127.0.0.2'], folder),
  ];
  const { code, lines } = await coordinator.result;
  assert.equal(code, exitCodes.ok);
  const notices = lines.filter(({ kind }) => kind === 'notice').map(({ text }) => String(text));
  assert.match(notices.join('\n'), /near can't reach remote.*remote stays out/);
  const worlds = lines.filter(({ kind }) => kind === 'world');
  assert.equal((worlds.at(-1)?.['members'] as unknown[]).length, 1);
  for (const { code: left, stderr } of await Promise.all(workers)) assert.equal(left, 0, stderr);
});

test('more workers than micro-shards are refused before anything is written', async () => {
  const args = ['train', '-f', 'six.yaml', '--workers', '6', '--run', 'crowded', '--json'];
  const { code, stderr } = await runLockstep(args, folder);
  assert.equal(code, exitCodes.configuration);
  assert.match(stderr, /--workers: given 6; allowed: 1 to 5/);
});
