// What cases on real nodes share: one cluster with the files of their runs, which is described when
// a case fails, and taken away after the last as if its supervisor had died.

import assert from 'node:assert/strict';
import { rm } from 'node:fs/promises';
import { after, afterEach, before, describe } from 'node:test';
import { restricted } from '../kubernetes/control-plane.js';
import { removeLeftCluster, startNodeCluster, type NodeCluster } from './cluster.js';
import type { CaseGroup } from './context.js';
import { namespace, prepareRuns, type RunFiles } from './launched-run.js';
import { machineState } from './machine/machine-state.js';
import { skipWithoutNodes } from './machine/requirements.js';

/** Registers cases, by groups, that share a cluster; they skip where the machine can't have one. */
export async function describeOnNodes(
  what: string,
  groups: Readonly<Record<string, CaseGroup>>,
): Promise<void> {
  const skip = await skipWithoutNodes();
  describe(what, { skip }, () => {
    let cluster: NodeCluster | undefined;
    let files: RunFiles | undefined;
    const context = {
      cluster: () => cluster ?? assert.fail('the cluster did not start'),
      files: () => files ?? assert.fail('there is no dataset'),
    };
    let untouched: Record<string, unknown>;
    before(async () => {
      await removeLeftCluster();
      untouched = machineState();
      cluster = await startNodeCluster();
      await cluster.createNamespace(namespace, restricted);
      files = await prepareRuns(cluster);
    });
    after(async () => {
      await cluster?.kill();
      if (files !== undefined) await rm(files.folder, { recursive: true });
      assert.deepEqual(machineState(), untouched);
    });

    for (const [group, { sideBySide = 1, cases }] of Object.entries(groups))
      describe(group, { concurrency: sideBySide }, () => {
        // What failed cases left would hold up those that follow.
        const removeRuns = async (): Promise<void> => {
          const left = ['delete', 'configmap', '-l', 'app.kubernetes.io/name=lockstep'];
          await cluster?.kubectl(['-n', namespace, ...left, '--wait=false']);
        };
        after(removeRuns);
        afterEach(async (test) => {
          const hasPassed = (test as { readonly passed?: boolean }).passed;
          if (hasPassed !== false || cluster === undefined) return;
          process.stdout.write(`${await cluster.describe()}\n`);
          // Others go on beside it.
          if (sideBySide === 1) await removeRuns();
        });
        cases.forEach((register) => register(context));
      });
  });
}
