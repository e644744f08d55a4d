// Coordinators as a cluster runs them, as real processes on a Lease: one leads, and when it is
// killed, or has to go, the other one goes on. The bytes are those of an undisturbed run.

import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { exitCodes } from '../../shared/exit-codes.js';
import { leaseAnnotations } from '../../shared/kubernetes/lease-place.js';
import { FakeApiServer } from '../support/kubernetes/fake-api-server.js';
import { testFolder, writeRuns } from '../support/tiny-run.js';
import { lastLineOf, startLockstep, type RunningCommand } from '../support/lockstep-command.js';
import { freePort } from '../support/servers.js';
import { until } from '../support/until.js';

/** Of the run that is finished; the other one is stopped before its end. */
const steps = 300;
const patienceMs = 60_000;

const folder = testFolder();
let server: FakeApiServer;
let started: RunningCommand[] = [];

before(async () => {
  server = await new FakeApiServer().listen();
  await writeRuns(folder, {
    ...{ run: { steps }, long: { steps: 9_000 }, other: { steps, seed: 12 } },
    ...{ brief: { steps: 12 } },
  });
  await writeFile(join(folder, 'kubeconfig'), server.config().exportConfig());
});

after(async () => {
  for (const { process } of started) process.kill('SIGKILL');
  await Promise.all(started.map(({ result }) => result));
  await server.close();
});

function start(args: readonly string[]): RunningCommand {
  const environment = { KUBECONFIG: join(folder, 'kubeconfig') };
  const running = startLockstep(args, folder, environment, 180_000);
  started = [...started, running];
  return running;
}

/** The parameters' sum after so many steps that nothing happens to. */
async function undisturbed(file: string, halt: number): Promise<unknown> {
  const run = ['--workers', '1', '--run', `undisturbed-${halt}`, `--stop-after=${halt}`];
  const code = halt === steps ? exitCodes.ok : exitCodes.stopped;
  const last = await lastLineOf(['train', '-f', file, ...run], folder, code);
  assert.equal(last['step'], halt);
  return last['sha256'];
}

/** A coordinator with the arguments that a cluster gives it. */
function startCoordinator(
  run: string,
  address: string,
  file: string,
  more: readonly string[] = [],
): RunningCommand {
  const args = ['coordinator', `--file=${file}`, `--run=${run}`, '--if-exists=resume'];
  const lease = ['--standby', `--lease=k8s://training/${run}`, '--json'];
  return start([...args, '--workers=2', `--listen=${address}`, ...lease, ...more]);
}

const addresses = async (count: number): Promise<string[]> => {
  const ports = await Promise.all(Array.from({ length: count }, freePort));
  return ports.map((port) => `127.0.0.1:${port}`);
};

function startWorkers(coordinators: readonly string[], count = 2): RunningCommand[] {
  return Array.from({ length: count }, (_, i) =>
    start(['worker', `--coordinator=${coordinators.join(',')}`, `--id=worker-${i}`]),
  );
}

const standsBy = (one: RunningCommand): Promise<unknown> =>
  one.line('notice', ({ text }) => /standing by$/.test(String(text)));
const stepOf = (one: RunningCommand, step: number): Promise<unknown> =>
  one.line('step', (line) => Number(line['step']) >= step);
const leasePath = (run: string): string =>
  `/apis/coordination.k8s.io/v1/namespaces/training/leases/${run}`;
const shownStatus = (run: string): Record<string, unknown> => {
  const { annotations } = server.objects.get(leasePath(run))?.metadata ?? {};
  return JSON.parse(annotations?.[leaseAnnotations.status] ?? '{}') as Record<string, unknown>;
};
const wantWorkers = (run: string, workers: string): unknown =>
  server.change(leasePath(run), {
    metadata: { annotations: { [leaseAnnotations.workers]: workers } },
  });

test('a coordinator that is killed is followed by the one that stands by', async (t) => {
  const [run, file] = ['killed', 'run.yaml'];
  const sha256 = await undisturbed(file, steps);
  const places = await addresses(2);
  const first = startCoordinator(run, places[0] ?? '', file);
  const told = await first.line('listening');
  assert.deepEqual([told['term'], told['lease_transitions']], [1, 0]);
  const second = startCoordinator(run, places[1] ?? '', file);
  await standsBy(second);
  const workers = startWorkers(places);
  await stepOf(first, 10);
  await until(() => Number(shownStatus(run)['step']) > 0, 'the status is shown', patienceMs);
  const status = shownStatus(run);
  assert.deepEqual(
    [status['run'], status['until'], status['term'], status['address'], status['world']],
    [run, steps, 1, places[0], 2],
  );
  first.process.kill('SIGKILL');
  const killedMs = performance.now();
  const next = await second.line('listening');
  assert.deepEqual([next['term'], next['lease_transitions']], [2, 1]);
  const seconds = (performance.now() - killedMs) / 1000;
  assert.ok(seconds > 10 && seconds < 25, `${seconds} s`);
  t.diagnostic(`another one led ${seconds.toFixed(1)} s after SIGKILL`);
  const { code, lines, stderr } = await second.result;
  assert.equal(code, exitCodes.ok, stderr);
  const last = lines.at(-1) ?? {};
  assert.deepEqual(
    [last['kind'], last['run'], last['step'], last['sha256']],
    ['finished', run, steps, sha256],
  );
  for (const worker of workers) assert.equal((await worker.result).code, exitCodes.ok);
  const { result } = shownStatus(run) as { result: Record<string, unknown> };
  assert.deepEqual([result['kind'], result['sha256']], ['finished', sha256]);
  assert.equal(server.objects.get(leasePath(run))?.spec?.['holderIdentity'], '');

  // Whoever comes now finds that there is nothing left to do, and does not even lead.
  const late = await startCoordinator(run, places[0] ?? '', file).result;
  assert.equal(late.code, exitCodes.ok, late.stderr);
  const { kind, step, sha256: sum } = late.lines.at(-1) ?? {};
  assert.deepEqual([kind, step, sum], ['finished', steps, sha256]);
  assert.ok(late.lines.every((line) => line['kind'] !== 'listening'));
  assert.equal(shownStatus(run)['term'], 2);

  const other = await startCoordinator(run, places[0] ?? '', 'other.yaml').result;
  assert.equal(other.code, exitCodes.configuration);
  assert.match(other.stderr, /holds a run with another spec\n.*seed: given 12; allowed: 11/);
});

test('the one that stands by leaves when the run has finished, and its status stays', async (t) => {
  const [run, file] = ['finished', 'brief.yaml'];
  const places = await addresses(2);
  const first = startCoordinator(run, places[0] ?? '', file);
  await first.line('listening');
  const second = startCoordinator(run, places[1] ?? '', file);
  await standsBy(second);
  startWorkers(places);
  const led = await first.result;
  const ledMs = performance.now();
  assert.equal(led.code, exitCodes.ok, led.stderr);
  const left = await second.result;
  t.diagnostic(`the other one left ${(performance.now() - ledMs).toFixed(0)} ms later`);
  assert.equal(left.code, exitCodes.ok, left.stderr);
  const { kind, step, sha256 } = left.lines.at(-1) ?? {};
  const last = led.lines.at(-1) ?? {};
  assert.deepEqual([kind, step, sha256], ['finished', last['step'], last['sha256']]);
  assert.ok(left.lines.every((line) => line['kind'] !== 'listening'));
  const { term, stage } = shownStatus(run);
  assert.deepEqual([term, stage], [1, 'ended']);
});

test('a coordinator that has to go hands over, and a run without workers is stopped', async (t) => {
  const [run, file] = ['drained', 'long.yaml'];
  const places = await addresses(2);
  const first = startCoordinator(run, places[0] ?? '', file);
  await first.line('listening');
  const second = startCoordinator(run, places[1] ?? '', file);
  await standsBy(second);
  const workers = startWorkers(places);
  await stepOf(first, 10);
  first.process.kill('SIGTERM');
  const askedMs = performance.now();
  const gone = await first.result;
  assert.equal(gone.code, exitCodes.drained, gone.stderr);
  assert.match(String(gone.lines.at(-1)?.['reason']), /asked to leave \(SIGTERM\)/);
  await second.line('listening');
  const seconds = (performance.now() - askedMs) / 1000;
  assert.ok(seconds < 12, `no lease had to expire, but it took ${seconds} s`);
  t.diagnostic(`another one led ${seconds.toFixed(1)} s after SIGTERM`);
  const step = Number(second.lines().at(-1)?.['step'] ?? 0);
  await stepOf(second, step + 5);
  assert.equal(
    second.lines().filter(({ kind }) => kind === 'world').length,
    0,
    'the workers have stayed in their world',
  );

  wantWorkers(run, '1');
  await second.line('target', ({ workers: wanted }) => wanted === 1);
  const alone = await second.line('world');
  assert.equal((alone['members'] as unknown[]).length, 1);
  assert.equal((await workers[1]?.result)?.code, exitCodes.drained);

  const third = startCoordinator(run, places[0] ?? '', file);
  await standsBy(third);
  third.process.kill('SIGTERM');
  assert.equal((await third.result).code, exitCodes.drained);

  wantWorkers(run, '0');
  const stopped = await second.result;
  assert.equal(stopped.code, exitCodes.stopped, stopped.stderr);
  const last = stopped.lines.at(-1) ?? {};
  assert.equal(last['kind'], 'stopped');
  assert.ok(Number(last['step']) > 10);
  assert.equal((await workers[0]?.result)?.code, exitCodes.stopped);
  // Nobody takes it up again against the operator's will.
  const refused = await startCoordinator(run, places[0] ?? '', file).result;
  assert.equal(refused.code, exitCodes.stopped);

  wantWorkers(run, '2');
  const halt = Number(last['step']) + 20;
  const again = startCoordinator(run, places[0] ?? '', file, [`--stop-after=${halt}`]);
  startWorkers(places);
  const end = (await again.result).lines.at(-1) ?? {};
  const sha256 = await undisturbed(file, halt);
  assert.deepEqual([end['kind'], end['step'], end['sha256']], ['stopped', halt, sha256]);
});

test('a coordinator that can not renew its lease steps down in time, and stands by', async () => {
  const [address = ''] = await addresses(1);
  const run = 'cut-off';
  const alone = startCoordinator(run, address, 'brief.yaml');
  await alone.line('run');
  await until(() => shownStatus(run)['term'] === 1, 'a renewal', patienceMs);
  server.inflict({ cut: 'before' });
  const cutMs = performance.now();
  const { reason } = await alone.line('superseded');
  const seconds = (performance.now() - cutMs) / 1000;
  assert.match(String(reason), /^the lease of the run is lost: it could not be renewed for 10 s: /);
  assert.ok(seconds > 7 && seconds < 15, `${seconds} s`);
  server.clear();
  // The same process leads again when nobody else does, at the same address.
  await alone.line('listening', ({ term }) => term === 2);
  const workers = startWorkers([address]);
  const { code, lines, stderr } = await alone.result;
  assert.equal(code, exitCodes.ok, stderr);
  assert.equal(lines.at(-1)?.['kind'], 'finished');
  for (const worker of workers) assert.equal((await worker.result).code, exitCodes.ok);
});
