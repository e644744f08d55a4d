// A run in a cluster from launch to cancel, against the fake API server: never two of a run, never
// another spec in its place, whatever an earlier command left behind.

import assert from 'node:assert/strict';
import { afterEach, beforeEach, test } from 'node:test';
import type { V1Job } from '@kubernetes/client-node';
import { cancelRun } from '../../../cli/kubernetes/cancel.js';
import { type ClusterClient } from '../../../cli/kubernetes/client/cluster-client.js';
import type { LaunchParameters } from '../../../cli/kubernetes/launch-parameters.js';
import { launchRun, resumeRun } from '../../../cli/kubernetes/launch.js';
import { showLogs } from '../../../cli/kubernetes/logs.js';
import { ownedObjects } from '../../../cli/kubernetes/names.js';
import { requireRun, type RunStage } from '../../../cli/kubernetes/run-state.js';
import { scaleRun } from '../../../cli/kubernetes/scale.js';
import { clusterStatusJson, readClusterStatus } from '../../../cli/kubernetes/status.js';
import { followRun, readResult } from '../../../cli/kubernetes/wait-for-run.js';
import { openPreset } from '../../../shared/spec/load.js';
import { impatientClient } from '../../support/kubernetes/impatient-client.js';
import { FakeApiServer } from '../../support/kubernetes/fake-api-server.js';
import { until } from '../../support/until.js';

const run = { namespace: 'n', name: 'faces' };
const url = 's3://bucket/runs/faces';
const document = openPreset('demo', ['dataset.url=s3://bucket/faces']);
const otherDocument = openPreset('demo', ['dataset.url=s3://bucket/faces', 'seed=9']);
const wanted: LaunchParameters = {
  ...{ ...run, runUrl: url, image: 'lockstep:1', workers: 2, coordinators: 2, gpusPerWorker: 0 },
  ...{ cpusPerWorker: '1', memoryPerWorker: '1Gi', s3Region: 'us-east-1', s3Secret: 's3' },
};
const jobPath = (name: string) => `/apis/batch/v1/namespaces/n/jobs/faces-${name}`;
const leasePath = '/apis/coordination.k8s.io/v1/namespaces/n/leases/faces';
const rootPath = '/api/v1/namespaces/n/configmaps/faces-run';
const failed = { status: { conditions: [{ type: 'Failed', status: 'True', reason: 'X' }] } };
const complete = { status: { conditions: [{ type: 'Complete', status: 'True' }] } };

let server: FakeApiServer;
let client: ClusterClient;

beforeEach(async () => {
  server = await new FakeApiServer().listen();
  client = impatientClient(server);
});
afterEach(() => server.close());

const uidOf = (job: string) => server.objects.get(jobPath(job))?.metadata.uid;
const writes = () => server.requests.filter(({ method }) => method !== 'GET').length;
const job = (name: string) => server.objects.get(jobPath(name)) as V1Job | undefined;
const podLabels = (name: string) => job(name)?.spec?.template.metadata?.labels;
const workersOnLease = () =>
  server.objects.get(leasePath)?.metadata.annotations?.['lockstep.dev/workers'];
const allUids = () =>
  [jobPath('coordinator'), jobPath('worker'), rootPath].map(
    (path) => server.objects.get(path)?.metadata.uid,
  );
const launch = (changes: Partial<LaunchParameters> = {}, spec = document) =>
  launchRun(client, { ...wanted, ...changes }, spec);
const changeJobs = (change: object) => {
  for (const name of ['coordinator', 'worker']) server.change(jobPath(name), change);
};
/** What the leader writes on the Lease about the run. */
const showStatus = (status: object, spec?: object) =>
  server.change(leasePath, {
    metadata: { annotations: { 'lockstep.dev/status': JSON.stringify(status) } },
    ...(spec && { spec }),
  });

test('a launch sends the root alone first, then all that it owns', async () => {
  const launched = await launch();
  assert.equal(launched.action, 'created');
  const sent = server.requests.filter(({ method }) => method !== 'GET');
  assert.deepEqual([sent[0]?.method, sent[0]?.path], ['POST', '/api/v1/namespaces/n/configmaps']);
  assert.deepEqual([sent[1]?.method, sent[1]?.path], ['POST', '/api/v1/namespaces/n/secrets']);
  assert.ok(sent.slice(2).every(({ method }) => method === 'PATCH'));
  assert.equal(server.objects.size, 2 + ownedObjects('faces').length);
  const uid = server.objects.get(rootPath)?.metadata.uid;
  for (const [path, { metadata }] of server.objects)
    if (path !== rootPath)
      assert.deepEqual(
        metadata.ownerReferences?.map((one) => one.uid),
        [uid],
        path,
      );
});

test('launched again while it goes on, nothing is written', async () => {
  await launch();
  const before = writes();
  const again = await launch({ workers: 3 });
  assert.deepEqual([again.action, again.parameters.workers], ['running', 2]);
  assert.equal(writes(), before);
});

test('another spec, folder or image under the same name is refused, with what differs', async () => {
  await launch();
  const before = writes();
  await assert.rejects(
    launch({}, otherDocument),
    /another run named faces.*seed: given 9; allowed: 7/s,
  );
  await assert.rejects(
    launch({ runUrl: 's3://bucket/other' }),
    /--run: given "s3:\/\/bucket\/other"; allowed: s3:\/\/bucket\/runs\/faces/,
  );
  await assert.rejects(
    launch({ image: 'lockstep:2' }),
    /goes on, and can not be changed.*--image: given "lockstep:2"; allowed: lockstep:1/s,
  );
  assert.equal(writes(), before);
});

test('a folder that another run writes to is refused, and so is a name that is taken', async () => {
  await launch();
  await assert.rejects(launch({ name: 'two' }), /a folder of its own/);
  const theirs = { metadata: { name: 'three-coordinator', namespace: 'n' } };
  server.change('/api/v1/namespaces/n/services/three-coordinator', theirs);
  await assert.rejects(
    launch({ name: 'three', runUrl: 's3://bucket/three' }),
    /no Service three-coordinator yet.*not Lockstep's/,
  );
  assert.equal(server.objects.has('/api/v1/namespaces/n/configmaps/three-run'), false);
});

test('of two launches at once with different specs one is refused', async () => {
  const both = await Promise.allSettled([launch(), launch({}, otherDocument)]);
  assert.deepEqual(both.map(({ status }) => status).sort(), ['fulfilled', 'rejected']);
  const [refused] = both.filter((one) => one.status === 'rejected');
  assert.match(String(refused?.reason), /another run named faces/);
});

test('a launch that broke off half-way is completed by the next one', async () => {
  server.inflict({ method: 'PATCH', path: /faces-worker$/, status: 403, times: 1 });
  await assert.rejects(launch(), { status: 403 });
  assert.ok(server.objects.size < 14);
  assert.equal((await launch()).action, 'resumed');
  assert.equal(server.objects.size, 14);
});

test('answers that are lost on the way double nothing', async () => {
  server.inflict({ method: 'POST', cut: 'after', times: 1 });
  server.inflict({ method: 'PATCH', cut: 'after', times: 2 });
  await launch();
  assert.equal(server.objects.size, 14);
});

test('a resume makes failed Jobs anew, with what is to be other, and leaves the root', async () => {
  await launch();
  const uids = allUids();
  changeJobs(failed);
  const found = await requireRun(client, run);
  const { action, parameters } = await resumeRun(client, found, {
    workers: 4,
    image: 'lockstep:2',
  });
  assert.deepEqual([action, parameters.workers], ['resumed', 4]);
  assert.deepEqual(
    allUids().map((uid, i) => uid === uids[i]),
    [false, false, true],
  );
  assert.equal(job('worker')?.spec?.completions, 4);
  assert.equal(job('worker')?.spec?.template.spec?.containers[0]?.image, 'lockstep:2');
  assert.equal((await requireRun(client, run)).parameters.workers, 4);
  assert.equal(workersOnLease(), '4');
});

test('a resume makes anew only the Job that has ended', async () => {
  await launch();
  const [coordinator, worker] = [uidOf('coordinator'), uidOf('worker')];
  server.change(jobPath('coordinator'), failed);
  const found = await requireRun(client, run);
  assert.equal((await resumeRun(client, found, {})).action, 'resumed');
  assert.notEqual(uidOf('coordinator'), coordinator);
  assert.equal(uidOf('worker'), worker);
  assert.equal((await resumeRun(client, found, {})).action, 'running');
  await assert.rejects(
    resumeRun(client, found, { workers: 5 }),
    /--workers: given 5; allowed: 1 to 4/,
  );
});

test('two resumes at once end in one pair of Jobs', async () => {
  await launch();
  changeJobs(failed);
  const found = await requireRun(client, run);
  await Promise.all([resumeRun(client, found, {}), resumeRun(client, found, {})]);
  assert.equal(job('coordinator')?.status, undefined);
  assert.equal(job('worker')?.status, undefined);
  assert.equal(server.objects.size, 14);
});

test('a run that has finished stays finished', async () => {
  await launch();
  changeJobs(complete);
  const before = writes();
  assert.equal((await launch()).action, 'finished');
  assert.equal(writes(), before);
});

test('a scale changes Job, Lease, budget and root, also when others write at the same time', async () => {
  await launch();
  server.inflict({
    ...{ method: 'PATCH', path: /faces-run$/, times: 1 },
    answer() {
      server.change(rootPath, { metadata: { annotations: { theirs: 'yes' } } });
      return false;
    },
  });
  assert.deepEqual(await scaleRun(client, run, 4), { before: 2 });
  const { completions, parallelism } = job('worker')?.spec ?? {};
  assert.deepEqual([completions, parallelism], [4, 4]);
  assert.equal(workersOnLease(), '4');
  const budget = server.objects.get(
    '/apis/policy/v1/namespaces/n/poddisruptionbudgets/faces-worker',
  );
  assert.equal(budget?.spec?.['minAvailable'], 3);
  assert.equal((await requireRun(client, run)).parameters.workers, 4);
  await assert.rejects(scaleRun(client, run, 5), /--workers: given 5; allowed: 1 to 4/);
  server.change(jobPath('coordinator'), failed);
  await assert.rejects(scaleRun(client, run, 3), /Jobs are failed and active.*lockstep resume/s);
});

test('a cancel leaves nothing, not even what nobody owns, and nothing of others', async () => {
  await launch();
  const pod = '/api/v1/namespaces/n/pods/faces-worker-0-x';
  const labels = podLabels('worker');
  const owner = [{ uid: uidOf('worker') ?? '' }];
  server.change(pod, { metadata: { name: 'faces-worker-0-x', labels, ownerReferences: owner } });
  // A coordinator that ends makes its Lease once more.
  server.inflict({
    ...{ method: 'DELETE', path: /faces-run$/, times: 1 },
    answer() {
      const lease = server.objects.get(leasePath);
      setTimeout(() => {
        const metadata = { ...lease?.metadata, ownerReferences: [] };
        server.change(leasePath, { ...lease, metadata });
      }, 20);
      return false;
    },
  });
  server.change('/api/v1/namespaces/n/configmaps/other-run', { metadata: { name: 'other-run' } });
  const left: number[] = [];
  await cancelRun(client, run, (names) => left.push(names.length));
  assert.deepEqual([...server.objects.keys()], ['/api/v1/namespaces/n/configmaps/other-run']);
  assert.equal(left[0], 14);
  // Workers first, while a coordinator can let them leave in order.
  const deleted = server.requests.filter(({ method }) => method === 'DELETE');
  const roots = deleted.map(({ path }) => path).filter((path) => /faces-(worker|run)$/.test(path));
  assert.deepEqual(roots, [jobPath('worker'), rootPath]);
  await assert.rejects(cancelRun(client, run), /there is no such run/);
  await assert.rejects(requireRun(client, run), /lockstep launch with the same --run goes on/);
});

test('a run is followed from its queue to its end, through a forgotten version', async () => {
  await launch({ queue: 'gpus' });
  const stages: RunStage[] = [];
  const end = followRun(
    client,
    run,
    { onStage: (stage) => void stages.push(stage) },
    new AbortController().signal,
  );
  const seen = (kind: string, step = 0) =>
    until(() => stages.some((one) => one.kind === kind && (one.progress?.step ?? 0) >= step), kind);
  await seen('queued');
  changeJobs({ spec: { suspend: false } });
  await seen('starting');
  showStatus({ step: 10, until: 100, stage: 'training' });
  await seen('running', 10);
  server.endWatches({ type: 'ERROR', object: { code: 410, reason: 'Expired' } });
  showStatus({ step: 20, until: 100, stage: 'training' });
  await seen('running', 20);
  showStatus({
    step: 100,
    until: 100,
    result: { kind: 'finished', step: 100, sha256: 'abc', reason: 'done', exitCode: 0 },
  });
  server.change(jobPath('coordinator'), complete);
  const last = (await end) ?? assert.fail('aborted');
  assert.deepEqual([last.kind, last.reason], ['finished', 'done']);
  assert.deepEqual(await readResult(client, run, last), { step: 100, sha256: 'abc' });
});

test('without a word on the Lease the result is the last line of the log', async () => {
  await launch();
  const labels = podLabels('coordinator');
  const pod = { metadata: { name: 'faces-coordinator-x', labels }, status: { phase: 'Succeeded' } };
  server.change('/api/v1/namespaces/n/pods/faces-coordinator-x', pod);
  server.logs.set(
    'faces-coordinator-x',
    '2026-11-25T12:00:00Z {"kind":"step","step":99}\n' +
      '2026-11-25T12:00:01Z {"kind":"finished","run":"faces","step":100,"sha256":"def"}\n',
  );
  const stage: RunStage = { kind: 'finished', reason: '', progress: undefined };
  assert.deepEqual(await readResult(client, run, stage), { step: 100, sha256: 'def' });
});

test('the status says what the leader says, and what pods there are', async () => {
  await launch();
  const labels = podLabels('worker');
  const terminated = { exitCode: 5 };
  const containerStatuses = [{ name: 'worker', state: { terminated } }];
  const pod = {
    metadata: { name: 'w', labels },
    spec: { nodeName: 'node-1' },
    status: { phase: 'Failed', containerStatuses },
  };
  server.change('/api/v1/namespaces/n/pods/w', pod);
  const status = {
    step: 7,
    until: 10,
    term: 2,
    imagesPerSecond: 3,
    etaSeconds: 4,
    world: 2,
    workers: [{ id: 'worker-0', rank: 0 }],
  };
  showStatus(status, { holderIdentity: 'c-1', leaseTransitions: 3 });
  const json = clusterStatusJson(await readClusterStatus(client, run)) as Record<string, unknown>;
  assert.equal(json['run'], 'k8s://n/faces');
  assert.deepEqual(
    [json['stage'], json['step'], json['until'], json['eta_s']],
    ['running', 7, 10, 4],
  );
  assert.deepEqual([json['leader'], json['lease_transitions'], json['target']], ['c-1', 3, 2]);
  assert.deepEqual((json['pods'] as object[]).length, 1);
  assert.deepEqual(json['pods'], [
    {
      pod: 'w',
      component: 'worker',
      phase: 'Failed',
      ready: false,
      exit_code: 5,
      node: 'node-1',
      reason: 'exit code 5',
    },
  ]);
});

test('logs that are followed show pods that come later, until one has succeeded', async () => {
  await launch();
  const labels = podLabels('coordinator');
  const path = (name: string) => `/api/v1/namespaces/n/pods/${name}`;
  const pod = (name: string, phase: string) =>
    server.change(path(name), { metadata: { name, labels }, status: { phase } });
  for (const name of ['a', 'b']) server.logs.set(name, `2026-11-25T12:00:00Z of ${name}\n`);
  pod('a', 'Failed');
  const lines: string[] = [];
  const request = { component: 'coordinator', follow: true } as const;
  const { signal } = new AbortController();
  const shown = showLogs(client, run, { ...request, signal }, (name, line) =>
    lines.push(`${name} ${line}`),
  );
  await until(() => lines.length === 1 && server.watches === 1, 'the first pod');
  pod('b', 'Pending');
  pod('b', 'Running');
  await until(() => lines.length === 2, 'the pod that came later');
  pod('b', 'Succeeded');
  assert.equal(await shown, 2);
  assert.deepEqual(lines, ['a of a', 'b of b']);
});

test('logs of one worker are asked for by its index', async () => {
  await launch();
  const base = podLabels('worker') ?? {};
  for (const index of ['0', '1']) {
    const labels = { ...base, 'batch.kubernetes.io/job-completion-index': index };
    server.change(`/api/v1/namespaces/n/pods/w${index}`, {
      metadata: { name: `w${index}`, labels },
    });
    server.logs.set(`w${index}`, `2026-11-25T12:00:00Z of ${index}\n`);
  }
  const lines: string[] = [];
  const { signal } = new AbortController();
  const request = { component: 'worker', index: 1, follow: false, signal } as const;
  assert.equal(await showLogs(client, run, request, (_, line) => lines.push(line)), 1);
  assert.deepEqual(lines, ['of 1']);
});
