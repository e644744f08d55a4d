// The promise, on real processes: the same SHA-256 of all parameters for any number of workers,
// across stops and resumes, and equal to the trainer written from the definition.

import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { exitCodes } from '../../../shared/exit-codes.js';
import { printSpec, tinyRun } from '../../support/tiny-run.js';
import type { RunSpec } from '../../../shared/spec/schema.js';
import { runLockstep, startLockstep } from '../../support/lockstep-command.js';
import { skipWithoutTensorflow } from '../../support/tensorflow.js';
import { referenceSha256 } from '../../support/reference-trainer.js';
import { openBatches, packFaces } from '../../support/tiny-dataset.js';

let folder: string;
let spec: RunSpec;

before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'lockstep-training-'));
  const url = `file://${folder}/dataset`;
  await packFaces(url, folder);
  spec = tinyRun(url);
  await writeFile(join(folder, 'six.yaml'), printSpec(spec));
  await writeFile(join(folder, 'eight.yaml'), printSpec(tinyRun(url, 5)));
  await writeFile(join(folder, 'fifty.yaml'), printSpec(tinyRun(url, 50)));
});

after(() => rm(folder, { recursive: true }));

/** Trains with real processes and returns the last line. */
async function train(args: readonly string[], code: number = exitCodes.ok) {
  const result = await runLockstep([...args, '--json'], folder);
  assert.equal(result.code, code, result.stderr);
  const last = result.lines.at(-1);
  assert.ok(last !== undefined);
  return last;
}

const sums = new Map<string, unknown>();

for (const [engine, worlds, skip] of [
  ['onnx', [1, 2, 3, 5], false],
  ['tensorflow', [1, 2, 3], skipWithoutTensorflow],
] as const) {
  const on = ['--set', `engine.name=${engine}`];

  test(
    `any number of workers gives the reference trainer's bytes: ${engine}`,
    { skip },
    async () => {
      const { batchOf, close } = await openBatches(spec);
      const { threads } = spec.engine;
      const expected = await referenceSha256(
        { ...spec, engine: { name: engine, threads } },
        6,
        batchOf,
      );
      await close();
      for (const workers of worlds) {
        const run = ['--workers', `${workers}`, '--run', `any-${engine}-${workers}`];
        const last = await train(['train', '-f', 'six.yaml', ...on, ...run]);
        assert.equal(last['kind'], 'finished');
        assert.equal(last['step'], 6);
        assert.equal(last['world'], workers);
        assert.equal(last['sha256'], expected, `${workers} workers`);
      }
      sums.set(engine, expected);
      assert.equal(new Set(sums.values()).size, sums.size, 'engines have bytes of their own');
    },
  );

  test(
    `a run that is stopped and resumed on another world is the same: ${engine}`,
    { skip },
    async () => {
      const train8 = ['train', '-f', 'eight.yaml', ...on];
      const whole = await train([...train8, '--workers', '1', '--run', `whole-${engine}`]);
      const first = [...train8, '--workers', '3', '--run', `parts-${engine}`];
      const stopped = await train([...first, '--stop-after', '4'], exitCodes.stopped);
      assert.equal(stopped['kind'], 'stopped');
      assert.equal(stopped['step'], 4);
      const resumed = await train(['resume', `parts-${engine}`, '--workers', '2']);
      assert.equal(resumed['step'], 8);
      const checkpoint = await train(['checkpoints', 'ls', `parts-${engine}`]);
      assert.match(String(checkpoint['fingerprint']), new RegExp(`^${engine}/`));
      assert.equal(resumed['sha256'], whole['sha256']);
    },
  );
}

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
  const long = ['--set', 'phases.1.steps=100000', '--set', 'checkpoint.everySteps=100000'];
  const args = ['train', '-f', 'six.yaml', ...long, '--workers', '2', '--run', 'interrupted'];
  const running = startLockstep([...args, '--json'], folder);
  await running.line('step', (line) => Number(line['step']) >= 5);
  running.process.kill('SIGINT');
  const { code, lines } = await running.result;
  assert.equal(code, exitCodes.stopped);
  const last = lines.at(-1);
  assert.equal(last?.['kind'], 'stopped');
  const step = Number(last?.['step']);
  const resume = ['resume', 'interrupted', '--workers', '1', '--stop-after', `${step + 1}`];
  assert.equal((await train(resume, exitCodes.stopped))['step'], step + 1);
});

test('a worker that is killed is taken out, started again and joins: the bytes are the same', async () => {
  const whole = await train(['train', '-f', 'fifty.yaml', '--workers', '1', '--run', 'unhurt']);
  const args = ['train', '-f', 'fifty.yaml', '--workers', '2', '--run', 'bereaved', '--json'];
  const running = startLockstep(args, folder);
  const { pid } = await running.line('worker', (line) => line['worker'] === 'worker-1');
  await running.line('step', (line) => Number(line['step']) >= 5);
  process.kill(Number(pid), 'SIGKILL');
  const lost = await running.line('lost');
  assert.equal(lost['worker'], 'worker-1');
  await running.line('world', ({ members }) => (members as unknown[]).length === 1);
  const { code, lines } = await running.result;
  assert.equal(code, exitCodes.ok);
  assert.equal(lines.at(-1)?.['sha256'], whole['sha256']);
});

test('without restarts a run that lost its only worker ends, and can be resumed', async () => {
  const long = ['--set', 'phases.1.steps=100000', '--set', 'checkpoint.everySteps=5'];
  const args = ['train', '-f', 'six.yaml', ...long, '--workers', '1', '--run', 'orphaned'];
  const running = startLockstep([...args, '--restarts', '0', '--json'], folder);
  const { pid } = await running.line('worker');
  await running.line('checkpoint');
  process.kill(Number(pid), 'SIGKILL');
  const { code, lines } = await running.result;
  assert.equal(code, exitCodes.workerLost);
  const step = Number(lines.at(-1)?.['step']);
  assert.ok(step >= 5);
  const resume = ['resume', 'orphaned', '--workers', '2', '--stop-after', `${step + 1}`];
  assert.equal((await train(resume, exitCodes.stopped))['step'], step + 1);
});

test('a worker that is frozen is taken out within two seconds, and comes back when it thaws', async () => {
  const long = ['--set', 'phases.1.steps=100000', '--set', 'checkpoint.everySteps=100000'];
  const args = ['train', '-f', 'six.yaml', ...long, '--workers', '2', '--run', 'frozen', '--json'];
  const running = startLockstep(args, folder);
  const { pid } = await running.line('worker', (line) => line['worker'] === 'worker-1');
  await running.line('step', (line) => Number(line['step']) >= 5);
  process.kill(Number(pid), 'SIGSTOP');
  const frozenMs = performance.now();
  const lost = await running.line('lost');
  const seconds = (performance.now() - frozenMs) / 1000;
  assert.equal(lost['worker'], 'worker-1');
  assert.ok(seconds < 2, `found after ${seconds.toFixed(1)} s`);
  process.kill(Number(pid), 'SIGCONT');
  await running.line(
    'world',
    ({ generation, members }) =>
      Number(generation) > Number(lost['generation']) && (members as unknown[]).length === 2,
  );
  running.process.kill('SIGINT');
  assert.equal((await running.result).code, exitCodes.stopped);
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
  assert.ok(
    notices.some((text) => /near can't reach remote.*remote stays out/.test(text)),
    notices.join('\n'),
  );
  const worlds = lines.filter(({ kind }) => kind === 'world');
  assert.equal((worlds.at(-1)?.['members'] as unknown[]).length, 1);
  for (const { code: left, stderr } of await Promise.all(workers)) assert.equal(left, 0, stderr);
});

test('a coordinator that is killed and started again does not disturb the training', async () => {
  const whole = await train(['train', '-f', 'fifty.yaml', '--workers', '2', '--run', 'led']);
  const args = ['train', '-f', 'fifty.yaml', '--workers', '2', '--run', 'misled', '--json'];
  const running = startLockstep(args, folder);
  const { pid } = await running.line('coordinator');
  await running.line('step', (line) => Number(line['step']) >= 5);
  process.kill(Number(pid), 'SIGKILL');
  const { code, lines } = await running.result;
  assert.equal(code, exitCodes.ok);
  assert.equal(lines.at(-1)?.['sha256'], whole['sha256']);
  // The workers stayed in their world, and each step is told once.
  assert.equal(lines.filter(({ kind }) => kind === 'world').length, 1);
  const steps = lines.filter(({ kind }) => kind === 'step').map(({ step }) => Number(step));
  assert.deepEqual(new Set(steps).size, 53);
});

test('more workers than micro-shards are refused before anything is written', async () => {
  const args = ['train', '-f', 'six.yaml', '--workers', '6', '--run', 'crowded', '--json'];
  const { code, stderr } = await runLockstep(args, folder);
  assert.equal(code, exitCodes.configuration);
  assert.match(stderr, /--workers: given 6; allowed: 1 to 5/);
});
