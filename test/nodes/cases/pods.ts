// Pods go, leaders go, Jobs fail, and the number of workers changes: one run sees it all.

import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { it } from 'node:test';
import type { V1Pod } from '@kubernetes/client-node';
import { exitCodes } from '../../../shared/exit-codes.js';
import { until } from '../../support/until.js';
import type { NodeCluster } from '../cluster.js';
import type { CaseContext } from '../context.js';
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
  await until(isSo, `another pod came for ${nameOf(gone)}`, goneMs);
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

async function disturb(cluster: NodeCluster, run: LaunchedRun): Promise<void> {
  // A worker is killed: its container ends with 137.
  const killed = await worker(run);
  await cluster.killContainers(namespace, nameOf(killed));
  await isReplaced(run, killed, 3);

  await askEarly(cluster, run);

  // A worker is evicted.
  const evicted = await worker(run);
  const eviction = {
    ...{ apiVersion: 'policy/v1', kind: 'Eviction' },
    metadata: { name: nameOf(evicted), namespace },
  };
  const path = `/api/v1/namespaces/${namespace}/pods/${nameOf(evicted)}/eviction`;
  await cluster.ask(['create', '--raw', path, '-f', '-'], JSON.stringify(eviction));
  await isReplaced(run, evicted, 3);

  // The leader is killed.
  const terms = (await run.lease()).spec?.leaseTransitions ?? 0;
  await cluster.killContainers(namespace, nameOf(await run.leader()));
  const hasNext = async (): Promise<boolean> =>
    ((await run.lease()).spec?.leaseTransitions ?? 0) > terms;
  await until(hasNext, 'the other coordinator leads', 120_000);
  await run.goesOn();
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
  await until(isSaid, `status says what became of ${name}`, 60_000);
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
    await until(hasFailed, `the Job of ${component}s failed`, 240_000);
  }
  await run.command('resume', run.url, '--detach');
}

/** Cases of a run whose nodes stay. */
export function podCases({ cluster, files }: CaseContext): void {
  it('pods, leaders and Jobs that go, more workers and fewer leave its bytes', async () => {
    const run = launchedRun(cluster(), 'pods', await files().path(endless), 3);
    await run.launch(['--detach']);
    await run.hasReady(3);
    await run.goesOn(1);
    await disturb(cluster(), run);

    await run.command('scale', run.url, '--workers', '5');
    await run.hasReady(5);
    await run.goesOn();
    await run.command('scale', run.url, '--workers', '2');
    await run.hasReady(2);
    await run.goesOn();

    await starve(cluster(), run, 2);
    await failJobs(cluster(), run);
    await run.hasReady(2);
    await run.goesOn();

    // It is cancelled, and nothing is left; launched again, it goes on.
    await run.command('cancel', run.url);
    const kinds =
      'configmap,secret,job,pod,service,lease,serviceaccount,role,rolebinding,networkpolicy,pdb';
    const label = 'app.kubernetes.io/instance=pods';
    assert.equal(await cluster().ask(['-n', namespace, 'get', kinds, '-l', label]), '');
    await run.launch(['--detach']);
    await run.hasReady(3);
    await run.goesOn();
    const reached = await run.stopped();
    assert.deepEqual(reached, await files().trainedHere(endless, reached.step));
  });
}
