// What a cluster does to the pods of a Job, done by the real controllers to pods on the node agent:
// a pod is deleted, one is evicted, a node is gone. Another pod comes, and never before the first
// one has ended.

import assert from 'node:assert/strict';
import { after, afterEach, before, describe, it } from 'node:test';
import { ApiException, type V1Pod } from '@kubernetes/client-node';
import { until } from '../support/until.js';
import { restricted, startCluster, tellFailure, type Cluster } from './cluster.js';
import { skipWithoutControlPlane } from './control-plane.js';
import { jobObject, podSpec, scriptContainer } from './trivial-pods.js';

const namespace = 'disruptions';

/** Takes a while to leave, as a worker that drains does; ready when it would hear the signal. */
const script = `
  process.on('SIGTERM', () => setTimeout(() => process.exit(5), 700));
  setInterval(() => {}, 1000);
  require('node:fs').writeFileSync('/tmp/ready', '');`;
const container = scriptContainer(script, {
  readinessProbe: { exec: { command: ['test', '-e', '/tmp/ready'] }, periodSeconds: 1 },
  volumeMounts: [{ name: 'tmp', mountPath: '/tmp' }],
});

const onExitCode = { operator: 'In', values: [5] };
const policy = {
  rules: [
    { action: 'Ignore', onExitCodes: onExitCode },
    { action: 'Ignore', onPodConditions: [{ type: 'DisruptionTarget', status: 'True' }] },
  ],
};

const indexOf = ({ metadata }: V1Pod): string | undefined =>
  metadata?.annotations?.['batch.kubernetes.io/job-completion-index'];
const isLive = ({ metadata, status }: V1Pod): boolean =>
  metadata?.deletionTimestamp === undefined &&
  (status?.conditions ?? []).some(({ type, status: is }) => type === 'Ready' && is === 'True');

describe('disruptions on the node agent', { skip: skipWithoutControlPlane() }, () => {
  let cluster: Cluster;
  const kubectl = (args: string, input?: string): Promise<string> =>
    cluster.plane.ask(['-n', namespace, ...args.split(' ')], input);
  const members = (): Promise<V1Pod[]> => cluster.pods(namespace, 'job-name=workers');
  /** The live pods, when there are as many as wanted and none of `gone` is among them. */
  const whole = async (gone: readonly V1Pod[] = [], timeoutMs = 30_000): Promise<V1Pod[]> => {
    let live: V1Pod[] = [];
    const names = gone.map(({ metadata }) => metadata?.name);
    await until(
      async () => {
        live = (await members()).filter(isLive);
        return live.length === 3 && !live.some(({ metadata }) => names.includes(metadata?.name));
      },
      'the Job has three ready pods',
      timeoutMs,
    );
    assert.deepEqual(live.map(indexOf).sort(), ['0', '1', '2']);
    return live;
  };
  const nameOf = (pod: V1Pod | undefined): string => pod?.metadata?.name ?? assert.fail('no pod');
  before(async () => {
    cluster = await startCluster({ entrypoint: () => [process.execPath] });
    await cluster.plane.createNamespace(namespace, restricted);
    const more = {
      completions: 3,
      parallelism: 3,
      backoffLimitPerIndex: 0,
      podFailurePolicy: policy,
    };
    const spread = {
      ...{ maxSkew: 1, topologyKey: 'kubernetes.io/hostname', whenUnsatisfiable: 'ScheduleAnyway' },
      labelSelector: { matchLabels: { 'job-name': 'workers' } },
    };
    const volumes = [{ name: 'tmp', emptyDir: {} }];
    const spec = podSpec(container, { volumes, topologySpreadConstraints: [spread] });
    await kubectl('apply -f -', jobObject('workers', spec, more));
    await whole();
  });
  after(() => cluster?.close());
  afterEach((test) => tellFailure(test, cluster));

  it('a deleted pod is replaced by one of the same index, once it has ended', async () => {
    const [first] = await whole();
    const pid = cluster.agent.pid(namespace, nameOf(first)) ?? assert.fail('it runs');
    await kubectl(`delete pod ${nameOf(first)} --wait=false`);
    const replaced = await members();
    assert.equal(replaced.filter((pod) => first && indexOf(pod) === indexOf(first)).length, 1);
    await whole(first ? [first] : []);
    assert.throws(() => process.kill(pid, 0), { code: 'ESRCH' });
  });

  it('an evicted pod is no fault of its own, and a budget keeps the others', async () => {
    const [first, second] = await whole();
    const selector = { matchLabels: { 'job-name': 'workers' } };
    const budget = {
      ...{ apiVersion: 'policy/v1', kind: 'PodDisruptionBudget', metadata: { name: 'workers' } },
      spec: { minAvailable: 2, selector },
    };
    await kubectl('apply -f -', JSON.stringify(budget));
    const allowed = [
      'pdb/workers',
      '--for=jsonpath={.status.disruptionsAllowed}=1',
      '--timeout=20s',
    ];
    await kubectl(`wait ${allowed.join(' ')}`);
    const evict = (pod: V1Pod | undefined): Promise<unknown> => {
      const name = nameOf(pod);
      const body = { metadata: { name, namespace } };
      return cluster.core.createNamespacedPodEviction({ name, namespace, body });
    };
    await evict(first);
    await assert.rejects(
      () => evict(second),
      (error) => error instanceof ApiException && error.code === 429,
    );
    const evicted = await cluster.podIs(namespace, nameOf(first), () => true);
    const marks = evicted?.status?.conditions?.filter(({ type }) => type === 'DisruptionTarget');
    assert.deepEqual(
      marks?.map(({ status, reason }) => [status, reason]),
      [['True', 'EvictionByEvictionAPI']],
    );
    await whole(first ? [first] : []);
    const { status } = await cluster.batch.readNamespacedJob({ namespace, name: 'workers' });
    assert.deepEqual([status?.failed ?? 0, status?.failedIndexes], [0, '']);
    await kubectl('delete pdb workers');
  });

  it('pods of a node that is gone come up on the other one', async () => {
    const before = await whole();
    const lost = before.filter(({ spec }) => spec?.nodeName === 'node-a');
    assert.ok(lost.length > 0 && lost.length < 3, 'they are spread');
    const pids = lost.map((pod) => cluster.agent.pid(namespace, nameOf(pod)) ?? -1);
    await cluster.loseNode('node-a');
    for (const pid of pids) assert.throws(() => process.kill(pid, 0), { code: 'ESRCH' });
    const now = await whole(lost, 90_000);
    assert.deepEqual([...new Set(now.map(({ spec }) => spec?.nodeName))], ['node-b']);
    const { status } = await cluster.batch.readNamespacedJob({ namespace, name: 'workers' });
    assert.deepEqual([status?.failed ?? 0, status?.failedIndexes], [0, '']);
  });
});
