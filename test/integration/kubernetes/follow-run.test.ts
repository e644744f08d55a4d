// What a waiting launch sees of a run whose pods do not start, or whose nodes are lost while it ends,
// against the fake API server.

import assert from 'node:assert/strict';
import { afterEach, beforeEach, test } from 'node:test';
import { type ClusterClient } from '../../../cli/kubernetes/client/cluster-client.js';
import { podLog } from '../../../cli/kubernetes/client/streams.js';
import type { RunStage } from '../../../cli/kubernetes/run-state.js';
import { followRun, readResult } from '../../../cli/kubernetes/wait-for-run.js';
import { impatientClient } from '../../support/kubernetes/impatient-client.js';
import { FakeApiServer } from '../../support/kubernetes/fake-api-server.js';
import { until } from '../../support/until.js';

const run = { namespace: 'n', name: 'faces' };
const jobs = '/apis/batch/v1/namespaces/n/jobs';
const leasePath = '/apis/coordination.k8s.io/v1/namespaces/n/leases/faces';
const labelsOf = (component: string) => ({
  'app.kubernetes.io/name': 'lockstep',
  'app.kubernetes.io/instance': 'faces',
  'app.kubernetes.io/component': component,
});

let server: FakeApiServer;
let client: ClusterClient;
let stages: RunStage[];
let troubles: string[];

beforeEach(async () => {
  server = await new FakeApiServer().listen();
  client = impatientClient(server);
  [stages, troubles] = [[], []];
  for (const component of ['coordinator', 'worker'])
    server.change(`${jobs}/faces-${component}`, {
      metadata: { name: `faces-${component}`, labels: labelsOf(component) },
    });
  server.change(leasePath, { metadata: { name: 'faces' } });
});
afterEach(() => server.close());

function follow(graceMs: number, signal = new AbortController().signal) {
  const options = {
    onStage: (stage: RunStage) => void stages.push(stage),
    onTrouble: (text: string) => void troubles.push(text),
    lookMs: { starting: 20, running: 20 },
    graceMs,
  };
  return followRun(client, run, options, signal);
}
const change = (component: string, status: object) =>
  server.change(`${jobs}/faces-${component}`, { status });
const condition = (type: string) => ({ conditions: [{ type, status: 'True', reason: 'R' }] });
const say = (status: object) =>
  server.change(leasePath, {
    metadata: { annotations: { 'lockstep.dev/status': JSON.stringify(status) } },
  });
const result = { kind: 'finished', step: 9, sha256: 'abc', reason: 'done', exitCode: 0 };
const seen = (kind: string) => until(() => stages.some((one) => one.kind === kind), kind);

test('a run that has finished is over, though a pod on a lost node keeps its Jobs open', async () => {
  const end = follow(1e6);
  say({ step: 9, result });
  await seen('finished');
  change('coordinator', condition('SuccessCriteriaMet'));
  const last = (await end) ?? assert.fail('aborted');
  assert.equal(last.kind, 'finished');
  assert.deepEqual(await readResult(client, run, last), { step: 9, sha256: 'abc' });
});

test('one coordinator that ended well is enough', async () => {
  const end = follow(1e6);
  say({ step: 9, result });
  change('coordinator', { succeeded: 1, active: 1 });
  assert.equal((await end)?.kind, 'finished');
});

test("the leader's word is enough where its own node is lost", async () => {
  const end = follow(50);
  say({ step: 9, result });
  assert.deepEqual([(await end)?.kind, (await end)?.progress?.result?.sha256], ['finished', 'abc']);
});

test('and so is a worker that has left a finished run', async () => {
  const end = follow(50);
  say({ step: 8, stage: 'finishing' });
  await seen('running');
  change('worker', condition('SuccessCriteriaMet'));
  assert.equal((await end)?.kind, 'finished');
});

test('a run that has failed is over, though pods on a lost node are not gone', async () => {
  const end = follow(1e6);
  await seen('starting');
  change('worker', condition('FailureTarget'));
  assert.deepEqual([(await end)?.kind, (await end)?.reason], ['failed', 'the workers: R']);
});

test('while it waits it says why pods do not start, each once, and goes on', async () => {
  const stop = new AbortController();
  const end = follow(1e6, stop.signal);
  const waiting = { reason: 'ErrImageNeverPull', message: 'no image "x"' };
  server.change('/api/v1/namespaces/n/pods/faces-worker-0-a', {
    metadata: { name: 'faces-worker-0-a', labels: labelsOf('worker') },
    status: { phase: 'Pending', containerStatuses: [{ name: 'worker', state: { waiting } }] },
  });
  server.change('/api/v1/namespaces/n/events/e1', {
    metadata: { name: 'e1' },
    involvedObject: { kind: 'Job', name: 'faces-coordinator' },
    type: 'Warning',
    reason: 'FailedCreate',
    message: 'exceeded quota: small',
    lastTimestamp: new Date().toISOString(),
  });
  await until(() => troubles.length === 2, 'both are said');
  const looks = () => server.requests.filter(({ path }) => path.endsWith('/pods')).length;
  const before = looks();
  await until(() => looks() > before + 2, 'it goes on');
  assert.deepEqual(troubles, [
    'faces-worker-0-a does not start: no image "x"',
    'Job faces-coordinator: exceeded quota: small',
  ]);
  server.inflict({ path: /\/(pods|events)$/, status: 403 });
  const refused = looks();
  await until(() => looks() > refused + 1, 'who may not read pods waits all the same');
  stop.abort();
  assert.equal(await end, undefined);
});

test("the kubelet's own words are no lines of a log", async () => {
  server.logs.set(
    'p',
    '2026-11-29T12:00:00Z one\n' +
      '2026-11-29T12:00:01Z unable to retrieve container logs for me\n' +
      'unable to retrieve container logs for containerd://0123\n',
  );
  const lines: string[] = [];
  const request = { namespace: 'n', pod: 'p', container: 'worker', follow: false };
  for await (const line of podLog(client, request)) lines.push(line);
  assert.deepEqual(lines, ['one', 'unable to retrieve container logs for me']);
});
