// The commands of a run in a cluster as processes, with a kubeconfig: what they print, and the
// exit codes that scripts read.

import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, afterEach, before, beforeEach, test } from 'node:test';
import { parseAllDocuments } from 'yaml';
import { FakeApiServer } from '../../support/kubernetes/fake-api-server.js';
import { startLockstep } from '../../support/lockstep-command.js';
import { until } from '../../support/until.js';

const run = 'k8s://training/faces';
const launch = [
  ...['launch', '--preset', 'demo', '--set', 'dataset.url=s3://bucket/faces'],
  ...['--run', 's3://bucket/runs/faces', '--namespace', 'training', '--image', 'lockstep:1'],
  ...['--workers', '2', '--s3-secret', 's3'],
];
const jobs = '/apis/batch/v1/namespaces/training/jobs';
const lease = '/apis/coordination.k8s.io/v1/namespaces/training/leases/faces';
const complete = { status: { conditions: [{ type: 'Complete', status: 'True' }] } };

let folder: string;
let server: FakeApiServer;

before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'lockstep-kubeconfig-'));
});
after(() => rm(folder, { recursive: true }));
beforeEach(async () => {
  server = await new FakeApiServer().listen();
  await writeFile(join(folder, 'config'), server.config().exportConfig());
});
afterEach(() => server.close());

const start = (...args: string[]) =>
  startLockstep(args, folder, { KUBECONFIG: join(folder, 'config'), NO_COLOR: '1' });
const lockstep = (...args: string[]) => start(...args).result;
const tell = (status: object) =>
  server.change(lease, {
    metadata: { annotations: { 'lockstep.dev/status': JSON.stringify(status) } },
  });

test('launch waits for the end and tells the result, also to a script', async () => {
  const launched = start(...launch, '--json');
  const first = await launched.line('launched');
  assert.deepEqual([first['run'], first['action'], first['workers']], [run, 'created', 2]);
  await until(() => server.watches === 2, 'it waits');
  tell({ step: 3, until: 9, stage: 'running', phase: 'pixel', imagesPerSecond: 5 });
  const sha256 = 'c'.repeat(64);
  const result = { kind: 'finished', step: 9, sha256, reason: 'done', exitCode: 0 };
  tell({ step: 9, until: 9, stage: 'ended', result });
  server.change(`${jobs}/faces-coordinator`, complete);
  const { code, lines, stderr } = await launched.result;
  assert.equal(code, 0, stderr);
  const { kind, step, sha256: told, run: of } = lines.at(-1) ?? {};
  assert.deepEqual([kind, of, step, told], ['finished', run, 9, sha256]);
});

test('a person sees what it waits for, and progress', async () => {
  const launched = start(...launch);
  let said = '';
  launched.process.stderr?.on('data', (text: string) => (said += text));
  await until(() => said.includes('starting: '), 'it waits');
  const numbers = { imagesPerSecond: 5, world: 2, target: 2 };
  tell({ step: 6, until: 9, stage: 'running', phase: 'pixel', ...numbers });
  await until(() => said.includes('train '), 'progress');
  server.change(`${jobs}/faces-worker`, {
    status: {
      conditions: [
        { type: 'Failed', status: 'True', reason: 'PodFailurePolicy', message: 'exit code 78' },
      ],
    },
  });
  const { code, stderr } = await launched.result;
  assert.equal(code, 78);
  assert.match(
    stderr,
    /^k8s:\/\/training\/faces is launched, with 2 workers, in s3:\/\/bucket\/runs\/faces$/m,
  );
  assert.match(stderr, /^starting: 0 of 2 workers are ready$/m);
  assert.match(stderr, /^train 6\/9 \(66%\).*pixel, 5 images\/s, 2 of 2 workers$/m);
  assert.match(stderr, /failed: the workers: PodFailurePolicy: exit code 78/);
  assert.match(stderr, /^Go on with it: lockstep resume k8s:\/\/training\/faces$/m);
});

test('Ctrl-C ends the waiting, not the run', async () => {
  const launched = start(...launch);
  await until(() => server.watches === 2, 'it waits');
  launched.process.kill('SIGINT');
  const { code, stderr } = await launched.result;
  assert.equal(code, 130);
  assert.match(stderr, /the run goes on: lockstep status k8s:\/\/training\/faces/);
  assert.ok(server.objects.has(`${jobs}/faces-coordinator`));
  assert.equal(server.requests.filter(({ method }) => method === 'DELETE').length, 0);
});

test('a dry run prints every object and asks nobody', async () => {
  await server.close();
  const text: string[] = [];
  const dry = start(...launch, '--dry-run');
  dry.process.stdout?.setEncoding('utf8').on('data', (part: string) => text.push(part));
  const { code } = await dry.result;
  assert.equal(code, 0);
  const documents = parseAllDocuments(text.join(''));
  assert.deepEqual(
    documents.flatMap(({ errors }) => errors),
    [],
  );
  assert.equal(documents.length, 13);
  // No key, but how to make the Secret that the pods mount.
  assert.ok(!documents.some((document) => document.get('kind') === 'Secret'));
  assert.ok(!text.join('').includes('PRIVATE KEY'));
  assert.match(
    text.join(''),
    /^# .*lockstep tls init faces-tls --run 'faces' --workers 'worker-0,/m,
  );
  assert.match(text.join(''), /secretName: faces-tls/);
  server = await new FakeApiServer().listen();
});

test('status, scale, resume, logs and cancel take the name of the run', async () => {
  assert.equal((await lockstep(...launch, '--detach')).code, 0);
  const scaled = await lockstep('scale', run, '--workers', '4', '--json');
  assert.deepEqual(scaled.lines, [{ run, before: 2, workers: 4 }]);
  tell({ step: 3, until: 9, stage: 'running' });
  const [status] = (await lockstep('status', run, '--json')).lines;
  assert.deepEqual([status?.['run'], status?.['step'], status?.['target']], [run, 3, 4]);
  const failed = { status: { conditions: [{ type: 'Failed', status: 'True', reason: 'X' }] } };
  for (const name of ['coordinator', 'worker']) server.change(`${jobs}/faces-${name}`, failed);
  const resumed = await lockstep('resume', run, '--workers', '3', '--detach', '--json');
  assert.deepEqual(
    resumed.lines.map(({ action, workers }) => [action, workers]),
    [['resumed', 3]],
    resumed.stderr,
  );
  const labels = server.objects.get(`${jobs}/faces-coordinator`)?.metadata.labels ?? {};
  const path = '/api/v1/namespaces/training/pods/faces-coordinator-x';
  server.change(path, { metadata: { name: 'faces-coordinator-x', labels } });
  server.logs.set('faces-coordinator-x', '2026-11-25T12:00:00Z one\n2026-11-25T12:00:01Z two\n');
  const logs = await lockstep('logs', run, '--json');
  assert.deepEqual(
    logs.lines.map(({ line }) => line),
    ['one', 'two'],
    logs.stderr,
  );
  server.remove(path);
  const cancelled = await lockstep('cancel', run, '--json');
  assert.deepEqual(cancelled.lines, [{ run, cancelled: true }]);
  assert.equal(server.objects.size, 0);
  const { code, stderr } = await lockstep('status', run);
  assert.equal(code, 78);
  assert.match(stderr, /there is no such run in the cluster/);
});

test('a cluster that is not there, or not allowed, is told before anything else', async () => {
  const none = startLockstep(['status', run], folder, { KUBECONFIG: join(folder, 'missing') });
  const { code, stderr } = await none.result;
  assert.equal(code, 78);
  assert.match(stderr, /which cluster is meant is not clear/);
  const other = await lockstep('status', run, '--context', 'prod');
  assert.equal(other.code, 78);
  assert.match(other.stderr, /--context: given "prod".*there are: fake/);
  const local = await lockstep('cancel', 'faces-1');
  assert.match(local.stderr, /RUN: given "faces-1"; allowed: k8s:\/\/NAMESPACE\/NAME/);
});
