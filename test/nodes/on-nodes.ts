// What cases on real nodes share: one cluster with the files of their runs, which is described when
// a case fails, and stopped after the last.

import assert from 'node:assert/strict';
import { rm } from 'node:fs/promises';
import { after, afterEach, before, describe } from 'node:test';
import { restricted } from '../kubernetes/control-plane.js';
import { startNodeCluster, type NodeCluster } from './cluster.js';
import type { CaseContext } from './context.js';
import { namespace, prepareRuns, type RunFiles } from './launched-run.js';
import { skipWithoutNodes } from './machine/requirements.js';

/** Registers cases, by groups, that share a cluster; they skip where the machine can't have one. */
export async function describeOnNodes(
  what: string,
  groups: Readonly<Record<string, readonly ((context: CaseContext) => void)[]>>,
): Promise<void> {
  const skip = await skipWithoutNodes();
  describe(what, { skip }, () => {
    let cluster: NodeCluster | undefined;
    let files: RunFiles | undefined;
    const context = {
      cluster: () => cluster ?? assert.fail('the cluster did not start'),
      files: () => files ?? assert.fail('there is no dataset'),
    };
    before(async () => {
      cluster = await startNodeCluster();
      await cluster.createNamespace(namespace, restricted);
      files = await prepareRuns(cluster);
    });
    after(async () => {
      await cluster?.close();
      if (files !== undefined) await rm(files.folder, { recursive: true });
    });
    afterEach(async (test) => {
      const hasPassed = (test as { readonly passed?: boolean }).passed;
      if (hasPassed !== false || cluster === undefined) return;
      process.stdout.write(`${await cluster.describe()}\n`);
      // What it left would hold up the cases that follow.
      const left = ['delete', 'configmap', '-l', 'app.kubernetes.io/name=lockstep', '--wait=false'];
      await cluster.kubectl(['-n', namespace, ...left]);
    });

    for (const [group, cases] of Object.entries(groups))
      describe(group, () => cases.forEach((register) => register(context)));
  });
}
