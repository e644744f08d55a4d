// Runs launched on real nodes, in containers of the real image, end in the bytes of the same
// training on one machine, whatever happens to their pods and nodes on the way. One cluster serves
// all cases.

import assert from 'node:assert/strict';
import { rm } from 'node:fs/promises';
import { after, afterEach, before, describe } from 'node:test';
import { restricted } from '../kubernetes/control-plane.js';
import { doorCases } from './cases/doors.js';
import { gpuCases } from './cases/gpus.js';
import { lostNodeCases } from './cases/lost-nodes.js';
import { overlayCases } from './cases/overlays.js';
import { podCases } from './cases/pods.js';
import { startCases } from './cases/starts.js';
import { undisturbedCases } from './cases/undisturbed.js';
import { startNodeCluster, type NodeCluster } from './cluster.js';
import { namespace, prepareRuns, type RunFiles } from './launched-run.js';
import { skipWithoutNodes } from './machine/requirements.js';

describe('runs on real nodes', { skip: await skipWithoutNodes() }, () => {
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

  undisturbedCases(context);
  overlayCases(context);
  gpuCases(context);
  doorCases(context);
  startCases(context);
  podCases(context);
  lostNodeCases(context);
});
