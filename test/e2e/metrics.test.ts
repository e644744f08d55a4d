// The metrics of a run of real processes: a coordinator and two workers, asked while they train and
// judged by Prometheus' own tool; and what it costs to be watched, measured.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { before, test } from 'node:test';
import { runLockstep, startLockstep } from '../support/lockstep-command.js';
import { freePort } from '../support/servers.js';
import { testFolder, writeRuns } from '../support/tiny-run.js';
import { until } from '../support/until.js';
import { promtool, withoutPromtool } from '../support/watch/promtool.js';

const folder = testFolder();
const steps = 100_000;
const unsaved = { everySteps: steps, keep: 1 };

before(() => writeRuns(folder, { long: { steps, checkpoint: unsaved }, short: { steps: 12 } }));

const ask = async (port: number, path: string) => {
  const answer = await fetch(`http://127.0.0.1:${port}${path}`).catch(() => undefined);
  return { status: answer?.status, text: (await answer?.text()) ?? '' };
};

/** The value of a metric, whatever its labels; the first where there are several. */
function valueOf(text: string, name: string): number {
  const [, value] = new RegExp(`^${name}(?:\\{[^}]*\\})? (\\S+)$`, 'm').exec(text) ?? [];
  return Number(value);
}

test('coordinator and workers answer while they train, and the judge has no complaint', async (t) => {
  const ports = { control: await freePort(), leads: await freePort(), works: await freePort() };
  const coordinate = (...run: string[]) =>
    startLockstep(
      [
        ...['coordinator', ...run, '--run', 'faces', '--workers', '2', '--json'],
        ...['--listen', `127.0.0.1:${ports.control},127.0.0.2:${ports.control}`],
        ...['--metrics', `127.0.0.1:${ports.leads}`],
      ],
      folder,
    );
  const coordinator = coordinate('-f', 'long.yaml');
  const toJoin = [
    'worker',
    '--coordinator',
    `127.0.0.1:${ports.control}`,
    '--threads',
    '1',
    '--id',
  ];
  // Whatever else it listens at leads to it as well.
  const second = `127.0.0.2:${ports.control}`;
  const workers = [
    startLockstep([...toJoin, 'w-0', '--metrics', `127.0.0.1:${ports.works}`], folder),
    startLockstep(['worker', '--coordinator', second, '--threads', '1', '--id', 'w-1'], folder),
  ];
  t.after(() => [coordinator, ...workers].forEach((one) => one.process.kill('SIGKILL')));
  await coordinator.line('step', ({ step }) => Number(step) >= 3);

  const led = await ask(ports.leads, '/metrics');
  const worked = await ask(ports.works, '/metrics');
  assert.deepEqual([led.status, worked.status], [200, 200]);
  assert.ok(valueOf(led.text, 'lockstep_step') >= 3);
  assert.ok(valueOf(led.text, 'lockstep_steps_total') >= 3);
  assert.equal(valueOf(led.text, 'lockstep_step_target'), steps);
  assert.equal(valueOf(led.text, 'lockstep_world_size'), 2);
  assert.match(led.text, /^lockstep_training_value\{name="loss\/generator",run="faces"\} \d/m);
  assert.match(led.text, /^lockstep_build_info\{.*fingerprint="[^"]+".*\} 1$/m);
  assert.match((await ask(ports.leads, '/readyz')).text, /^leads the run in term 1, step \d+ of/);

  assert.equal(valueOf(worked.text, 'lockstep_worker_rank'), 0);
  assert.equal(valueOf(worked.text, 'lockstep_worker_world_size'), 2);
  assert.equal(valueOf(worked.text, 'lockstep_worker_micro_shards'), 2);
  for (const name of ['steps', 'phase_seconds', 'sent_bytes', 'received_bytes'])
    assert.ok(valueOf(worked.text, `lockstep_worker_${name}_total`) > 0, name);
  assert.match((await ask(ports.works, '/readyz')).text, /^training, rank 0 of 2, step \d+$/m);

  if (withoutPromtool === false)
    for (const { text } of [led, worked])
      assert.deepEqual(promtool(['check', 'metrics'], text), { code: 0, said: '' });

  workers[1]?.process.kill('SIGKILL');
  await coordinator.line('lost');
  await until(async () => {
    const { text } = await ask(ports.leads, '/metrics');
    return valueOf(text, 'lockstep_lost_workers_total') === 1;
  }, 'the loss is counted');

  // All are killed before a checkpoint: what was done again is known from the run's folder alone.
  const events = join(folder, 'runs/faces/events/term-000001-000001.jsonl');
  await until(() => readFileSync(events, 'utf8').includes('world.lost'), 'the loss is written');
  for (const one of [coordinator, ...workers]) one.process.kill('SIGKILL');
  const next = coordinate('--resume');
  const joined = ['w-2', 'w-3'].map((id) => startLockstep([...toJoin, id], folder));
  t.after(() => [next, ...joined].forEach((one) => one.process.kill('SIGKILL')));
  const again = await next.line('step');
  assert.deepEqual([again['step'], again['redone']], [1, undefined]);
  await until(async () => {
    const { text } = await ask(ports.leads, '/metrics');
    return valueOf(text, 'lockstep_redone_steps') >= 3;
  }, 'steps that were done again are counted');
});

test('what watching costs is measured with the page open and metrics read', async () => {
  const counts = ['--workers', '1', '--steps', '12', '--rounds', '1'];
  const args = ['bench', 'watching', '-f', 'short.yaml', ...counts, '--json'];
  const { code, lines, stderr } = await runLockstep(args, folder);
  assert.equal(code, 0, stderr);
  const [figures = {}] = lines;
  for (const name of ['bare_step_s', 'watched_step_s', 'step_ratio', 'scrapes', 'pictures'])
    assert.ok(Number(figures[name]) > 0, `${name} of ${JSON.stringify(figures)}`);
});
