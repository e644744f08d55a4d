// Pods go, leaders go, Jobs fail, and the number of workers changes while runs go on.

import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { it } from 'node:test';
import type { V1Pod } from '@kubernetes/client-node';
import { exitCodes } from '../../../shared/exit-codes.js';
import { until } from '../../support/until.js';
import { untilSeen, type NodeCluster } from '../cluster.js';
import { createTimeline, type CaseContext } from '../context.js';
import { endless, launchedRun, nameOf, namespace, type LaunchedRun } from '../launched-run.js';

const goneMs = 180_000;

/** Takes memory until the container has none left; the kernel prefers others to it. */
const greedy = `require('node:fs').writeFileSync('/proc/self/oom_score_adj', '0');
  const held = []; setInterval(() => held.push(Buffer.alloc(2e7, 1)), 5)`;

/** Waits until another pod has the place of one that is gone, and the run goes on. */
async function isReplaced(run: LaunchedRun, gone: V1Pod, workers: number): Promise<void> {
  const isSo = async (): Promise<boolean> => {
    const ready = await run.readyPods('worker');
    return ready.length === workers && ready.every((pod) => nameOf(pod) !== nameOf(gone));
  };
  await untilSeen(isSo, `another pod came for ${nameOf(gone)}`, goneMs);
  await run.goesOn();
}

/** How often pods of a pod's index have gone before it, as the Job counts. */
function goneBefore({ metadata }: V1Pod): number {
  const counts = ['failure', 'ignored-failure'].map(
    (what) => metadata?.annotations?.[`batch.kubernetes.io/job-index-${what}-count`] ?? '0',
  );
  return counts.reduce((sum, count) => sum + Number(count), 0);
}

/** One whose index has lost least: with each loss the Job waits twice as long for the next pod. */
async function worker(run: LaunchedRun): Promise<V1Pod> {
  const ready = await run.readyPods('worker');
  const [first] = ready.sort((a, b) => goneBefore(a) - goneBefore(b));
  return first ?? assert.fail('no worker is ready');
}

/** How a pod's container ended. */
const endOf = (pod: V1Pod) => pod.status?.containerStatuses?.[0]?.state?.terminated;

const indexOf = ({ metadata }: V1Pod): string =>
  metadata?.labels?.['batch.kubernetes.io/job-completion-index'] ?? '';
/** How often pods of its index have failed before it, as the Job counts. */
const failuresBefore = ({ metadata }: V1Pod): string =>
  metadata?.annotations?.['batch.kubernetes.io/job-index-failure-count'] ?? '';

/** A worker is deleted; the next one is asked to go as soon as its process is there. */
async function askEarly(cluster: NodeCluster, run: LaunchedRun): Promise<void> {
  const deleted = await worker(run);
  const words = `worker --coordinator=${run.name}-coordinator:`;
  const known = new Set(cluster.processesWith(words));
  await cluster.ask(['-n', namespace, 'delete', 'pod', nameOf(deleted), '--wait=false']);
  const isThere = (): boolean => {
    const [pid] = cluster.processesWith(words).filter((each) => !known.has(each));
    if (pid !== undefined) process.kill(pid, 'SIGTERM');
    return pid !== undefined;
  };
  await until(isThere, 'the next worker has begun to start', goneMs);
  await isReplaced(run, deleted, 3);
  const ended = (await run.pods('worker')).filter((pod) => endOf(pod) !== undefined);
  // The first before it listens for signals at all, the other from then on.
  const { terminated, drained } = exitCodes;
  const early = ended.find((pod) =>
    [terminated, drained].some((code) => code === endOf(pod)?.exitCode),
  );
  const codes = ended.map((pod) => endOf(pod)?.exitCode);
  assert.ok(early !== undefined, `one was asked to go, but they ended with ${codes.join(', ')}`);
  const ready = await run.readyPods('worker');
  const next = ready.find((pod) => indexOf(pod) === indexOf(early));
  // That does not count as a failure.
  assert.equal(next && failuresBefore(next), failuresBefore(early));
}

/** The kernel takes a worker, and not who was greedy beside it. */
async function starve(cluster: NodeCluster, run: LaunchedRun, workers: number): Promise<void> {
  const starved = await worker(run);
  const name = nameOf(starved);
  for (const pid of await cluster.pidsOf(namespace, name))
    writeFileSync(`/proc/${pid}/oom_score_adj`, '1000');
  const command = ['-n', namespace, 'exec', name, '--', 'node', '-e', greedy];
  await cluster.kubectl(command, { timeoutMs: 120_000 });
  const isSaid = async (): Promise<boolean> => {
    const { lines } = await run.command('status', run.url, '--json');
    return JSON.stringify(lines).includes(`${name} ran out of memory: it may have 1Gi`);
  };
  await untilSeen(isSaid, `status says what became of ${name}`, 60_000);
  await isReplaced(run, starved, workers);
}

/** Both Jobs fail, since their time is over; `resume` makes anew what has ended. */
async function failJobs(cluster: NodeCluster, run: LaunchedRun): Promise<void> {
  for (const component of ['worker', 'coordinator'] as const) {
    const patch = JSON.stringify({ spec: { activeDeadlineSeconds: 1 } });
    await cluster.ask(['-n', namespace, 'patch', 'job', `${run.name}-${component}`, '-p', patch]);
    const hasFailed = async (): Promise<boolean> =>
      (await run.job(component)).status?.conditions?.some(
        ({ type, status }) => type === 'Failed' && status === 'True',
      ) === true;
    await untilSeen(hasFailed, `the Job of ${component}s failed`, 240_000);
  }
  await run.command('resume', run.url, '--detach');
}

/** A worker is killed: its container ends with 137. */
async function killWorker(cluster: NodeCluster, run: LaunchedRun): Promise<void> {
  const killed = await worker(run);
  await cluster.killContainers(namespace, nameOf(killed));
  await isReplaced(run, killed, 3);
}

async function evict(cluster: NodeCluster, run: LaunchedRun): Promise<void> {
  const evicted = await worker(run);
  const eviction = {
    ...{ apiVersion: 'policy/v1', kind: 'Eviction' },
    metadata: { name: nameOf(evicted), namespace },
  };
  const path = `/api/v1/namespaces/${namespace}/pods/${nameOf(evicted)}/eviction`;
  await cluster.ask(['create', '--raw', path, '-f', '-'], JSON.stringify(eviction));
  await isReplaced(run, evicted, 3);
}

async function killLeader(cluster: NodeCluster, run: LaunchedRun): Promise<void> {
  const terms = (await run.lease()).spec?.leaseTransitions ?? 0;
  await cluster.killContainers(namespace, nameOf(await run.leader()));
  const hasNext = async (): Promise<boolean> =>
    ((await run.lease()).spec?.leaseTransitions ?? 0) > terms;
  await untilSeen(hasNext, 'the other coordinator leads', 120_000);
  await run.goesOn();
}

async function scale(run: LaunchedRun, workers: number): Promise<void> {
  await run.command('scale', run.url, '--workers', `${workers}`);
  await run.hasReady(workers);
  await run.goesOn();
}

/** It is cancelled, and nothing is left; launched again, it goes on. */
async function launchAgain(cluster: NodeCluster, run: LaunchedRun): Promise<void> {
  await run.command('cancel', run.url);
  const kinds =
    'configmap,secret,job,pod,service,lease,serviceaccount,role,rolebinding,networkpolicy,pdb';
  const label = `app.kubernetes.io/instance=${run.name}`;
  assert.equal(await cluster.ask(['-n', namespace, 'get', kinds, '-l', label]), '');
  await launch(run);
}

async function launch(run: LaunchedRun, ...more: string[]): Promise<void> {
  await run.launch(['--detach', ...more]);
  await run.hasReady(3);
  await run.goesOn(1);
}

/** Cases of runs whose nodes stay. */
export function podCases({ cluster, files }: CaseContext): void {
  it('workers and leaders that go leave its bytes', async (test) => {
    const took = createTimeline(test);
    const run = launchedRun(cluster(), 'pods', await files().path(endless), 3);
    await launch(run);
    took('launched');
    await killWorker(cluster(), run);
    took('a worker killed');
    await askEarly(cluster(), run);
    took('a worker deleted, and its successor asked to go');
    await evict(cluster(), run);
    took('a worker evicted');
    await killLeader(cluster(), run);
    took('the leader killed');
    const reached = await run.stopped();
    assert.deepEqual(reached, await files().trainedHere(endless, reached.step));
    took(`compared after ${reached.step} steps`);
  });

  it('scaling, no memory, failed Jobs and a new launch leave its bytes', async (test) => {
    const took = createTimeline(test);
    const run = launchedRun(cluster(), 'jobs', await files().path(endless), 3);
    await launch(run, '--coordinators', '1');
    took('launched');
    await scale(run, 5);
    await scale(run, 2);
    took('5 workers, then 2');
    await starve(cluster(), run, 2);
    took('a worker without memory');
    await failJobs(cluster(), run);
    await run.hasReady(2);
    await run.goesOn();
    took('both Jobs failed, and resumed');
    await launchAgain(cluster(), run);
    await run.goesOn();
    took('cancelled and launched again');
    const reached = await run.stopped();
    assert.deepEqual(reached, await files().trainedHere(endless, reached.step));
    took(`compared after ${reached.step} steps`);
  });
}
