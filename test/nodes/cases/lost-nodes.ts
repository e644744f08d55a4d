// Nodes are cut off for a while, drained, and lost for good, also with the leader on them: runs end
// on what is left.

import assert from 'node:assert/strict';
import { setTimeout as pause } from 'node:timers/promises';
import { it } from 'node:test';
import { untilSeen, type NodeCluster } from '../cluster.js';
import { createTimeline, type CaseContext } from '../context.js';
import { endless, launchedRun, namespace, reachedBy, type LaunchedRun } from '../launched-run.js';

/** Those of a run that goes on for some seconds after a node is lost. */
const lostSteps = 150;
/** Long enough for workers to be dropped, too short for the cluster to take their pods. */
const cutMs = 25_000;

const otherThan = (node: string): string => (node === 'node-a' ? 'node-b' : 'node-a');

/** The node of a pod that is ready. */
const nodeOfWorker = async (run: LaunchedRun): Promise<string> =>
  (await run.readyPods('worker'))[0]?.spec?.nodeName ?? assert.fail('no worker is ready');

const nodeOfLeader = async (run: LaunchedRun): Promise<string> =>
  (await run.leader()).spec?.nodeName ?? assert.fail('the leader has a node');

async function nodeIs(cluster: NodeCluster, node: string, ready: string): Promise<void> {
  await cluster.ask(['wait', `--for=condition=Ready=${ready}`, `node/${node}`, '--timeout=55s']);
}

/** Cuts a node off for good: an operator says that it will not be back. */
async function lose(cluster: NodeCluster, node: string): Promise<void> {
  await cluster.cut(node);
  await nodeIs(cluster, node, 'Unknown');
  const taint = 'node.kubernetes.io/out-of-service=lost:NoExecute';
  await cluster.ask(['taint', 'node', node, taint]);
}

/** Brings a lost node back, for the cases that follow. */
async function mend(cluster: NodeCluster, node: string): Promise<void> {
  await cluster.reconnect(node);
  await nodeIs(cluster, node, 'True');
  await cluster.ask(['taint', 'node', node, 'node.kubernetes.io/out-of-service-']);
}

/** Cuts a node off for a while. That time is the disturbance itself. */
async function cutForAWhile(cluster: NodeCluster, run: LaunchedRun, node: string): Promise<void> {
  await cluster.cut(node);
  await pause(cutMs);
  await cluster.reconnect(node);
  await nodeIs(cluster, node, 'True');
  await run.hasReady(3);
  await run.goesOn();
}

/** Drains a node, one worker at a time, and takes it back. */
async function drain(cluster: NodeCluster, run: LaunchedRun, node: string): Promise<void> {
  const { code, stderr } = await cluster.kubectl(
    ['drain', node, '--delete-emptydir-data', '--timeout=170s'],
    { timeoutMs: 180_000 },
  );
  assert.equal(code, 0, stderr);
  const isElsewhere = async (): Promise<boolean> =>
    (await run.readyPods('worker')).filter((pod) => pod.spec?.nodeName === otherThan(node))
      .length === 3;
  await untilSeen(isElsewhere, 'all workers are on the other node', 180_000);
  await run.goesOn();
  await cluster.ask(['uncordon', node]);
}

/** Cases of nodes that go. */
export function lostNodeCases({ cluster, files }: CaseContext): void {
  it('a launch ends with its run although a node is lost', async (test) => {
    const took = createTimeline(test);
    const run = launchedRun(cluster(), 'lost', await files().path(lostSteps), 2);
    await run.launch(['--detach']);
    await run.hasReady(2);
    await run.goesOn(1);
    took('launched');
    const waiting = run.launch([], 280_000);
    const lost = otherThan(await nodeOfLeader(run));
    try {
      await cluster().cut(lost);
      const reached = reachedBy((await waiting).lines);
      took('ended without a node');
      // What is on the lost node keeps the Jobs open.
      const { conditions = [] } = (await run.job('worker')).status ?? {};
      assert.ok(!conditions.some(({ type }) => type === 'Complete'), JSON.stringify(conditions));
      assert.deepEqual(reached, await files().trainedHere(lostSteps));
    } finally {
      await cluster().reconnect(lost);
      await waiting.catch(() => undefined);
      await nodeIs(cluster(), lost, 'True');
    }
    took('compared, and the node is back');
    // The worker that comes back takes its whole grace to leave: nothing waits for that here.
    const root = ['delete', 'configmap', `${run.name}-run`, '--wait=false'];
    await cluster().ask(['-n', namespace, ...root]);
  });

  it('cuts, a drain and a leader’s node that is lost leave its bytes', async (test) => {
    const took = createTimeline(test);
    const run = launchedRun(cluster(), 'nodes', await files().path(endless), 3);
    await run.launch(['--detach']);
    await run.hasReady(3);
    await run.goesOn(1);
    took('launched');
    await cutForAWhile(cluster(), run, otherThan(await nodeOfLeader(run)));
    took('a node cut off for 25 s');
    await cutForAWhile(cluster(), run, await nodeOfLeader(run));
    took('the leader’s node cut off for 25 s');
    await drain(cluster(), run, await nodeOfWorker(run));
    took('a node drained');

    // The node that the leader is on is lost for good.
    const lost = await nodeOfLeader(run);
    try {
      await lose(cluster(), lost);
      took('the leader’s node is lost');
      // For a while nobody leads: the pod that did is gone.
      const hasOther = (): Promise<boolean> =>
        nodeOfLeader(run).then(
          (node) => node !== lost,
          () => false,
        );
      await untilSeen(hasOther, 'a coordinator elsewhere leads', 120_000);
      await run.goesOn();
      took('it goes on elsewhere');
    } finally {
      await mend(cluster(), lost);
    }
    took('the node is back');
    const reached = await run.stopped();
    assert.deepEqual(reached, await files().trainedHere(endless, reached.step));
    took(`compared after ${reached.step} steps`);
  });
}
