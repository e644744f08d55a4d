// Nodes are lost while runs are on them: runs end on what is left.

import assert from 'node:assert/strict';
import { it } from 'node:test';
import type { NodeCluster } from '../cluster.js';
import type { CaseContext } from '../context.js';
import { launchedRun, namespace, type LaunchedRun } from '../launched-run.js';

/** Those of a run that goes on for some seconds after a node is lost. */
const lostSteps = 150;

const otherThan = (node: string): string => (node === 'node-a' ? 'node-b' : 'node-a');

const nodeOfLeader = async (run: LaunchedRun): Promise<string> =>
  (await run.leader()).spec?.nodeName ?? assert.fail('the leader has a node');

async function nodeIs(cluster: NodeCluster, node: string, ready: string): Promise<void> {
  await cluster.ask(['wait', `--for=condition=Ready=${ready}`, `node/${node}`, '--timeout=55s']);
}

/** Cases of nodes that go. */
export function lostNodeCases({ cluster, files }: CaseContext): void {
  it('a launch ends with its run although a node is lost', async () => {
    const run = launchedRun(cluster(), 'lost', await files().path(lostSteps), 2);
    await run.launch(['--detach']);
    await run.hasReady(2);
    await run.goesOn(1);
    const waiting = run.launch([], 280_000);
    const lost = otherThan(await nodeOfLeader(run));
    try {
      await cluster().cut(lost);
      const last = (await waiting).lines.at(-1);
      // What is on the lost node keeps the Jobs open.
      const { conditions = [] } = (await run.job('worker')).status ?? {};
      assert.ok(!conditions.some(({ type }) => type === 'Complete'), JSON.stringify(conditions));
      assert.equal(last?.['step'], lostSteps + 3);
      assert.equal(last?.['sha256'], await files().trainedHere(lostSteps));
    } finally {
      await cluster().reconnect(lost);
      await waiting.catch(() => undefined);
      await nodeIs(cluster(), lost, 'True');
    }
    // The worker that comes back takes its whole grace to leave: nothing waits for that here.
    const root = ['delete', 'configmap', `${run.name}-run`, '--wait=false'];
    await cluster().ask(['-n', namespace, ...root]);
  });
}
