// Certificates of one's own that are replaced while a run goes on: the kubelet takes them to the
// pods, and the pods show them.

import assert from 'node:assert/strict';
import { join } from 'node:path';
import { it } from 'node:test';
import type { V1Pod } from '@kubernetes/client-node';
import { ports } from '../../../cli/kubernetes/names.js';
import { untilSeen, type NodeCluster } from '../cluster.js';
import type { CaseContext } from '../context.js';
import {
  addressOf,
  endless,
  launchedRun,
  nameOf,
  namespace,
  type LaunchedRun,
} from '../launched-run.js';
import { putCertificates } from '../secrets.js';

/** A kubelet looks every minute, and this one more often. */
const takenMs = 120_000;

/** Prints which certificate a server shows. */
const look = `
  const { connect } = require('node:tls');
  const [host, port] = process.argv.slice(1);
  const socket = connect({ host, port, rejectUnauthorized: false, ALPNProtocols: ['h2'] }, () => {
    console.log(socket.getPeerCertificate().fingerprint256);
    socket.destroy();
  });`;

/** Which certificate a pod shows to itself at its door. */
function shownBy(cluster: NodeCluster, pod: V1Pod | undefined, port: number): Promise<string> {
  const place = [addressOf(pod), `${port}`];
  return cluster.ask(['-n', namespace, 'exec', nameOf(pod), '--', 'node', '-e', look, ...place]);
}

/** Of the leader and of a worker. */
async function shown(cluster: NodeCluster, run: LaunchedRun): Promise<string[]> {
  const [worker] = await run.readyPods('worker');
  return [
    await shownBy(cluster, await run.leader(), ports.control),
    await shownBy(cluster, worker, ports.exchange),
  ];
}

/** Each pod of the run, and how often it was started again. */
async function starts(run: LaunchedRun): Promise<string[]> {
  const all = [...(await run.pods('coordinator')), ...(await run.pods('worker'))];
  return all.map((pod) => `${nameOf(pod)} ${pod.status?.containerStatuses?.[0]?.restartCount}`);
}

/** Cases of a run's certificates. */
export function certificateCases({ cluster, files }: CaseContext): void {
  it('certificates replaced in a mounted Secret are shown, and nothing starts anew', async () => {
    const name = 'certificates';
    const folder = join(files().folder, `${name}-own`);
    const tls = async (...args: string[]): Promise<void> => {
      const { code, stderr } = await cluster().lockstep(['tls', ...args]);
      assert.equal(code, 0, stderr);
      await putCertificates(cluster(), namespace, name, folder);
    };
    await tls('init', folder, '--run', name, '--workers', '2');
    const run = launchedRun(cluster(), name, await files().path(endless), 2);
    const secrets = ['coordinator', 'worker'].map((holder) => `${name}-${holder}-tls`);
    await run.launch(['--tls-secret', secrets.join(','), '--detach']);
    await run.hasReady(2);
    await run.goesOn(1);
    const [first, old] = [await starts(run), await shown(cluster(), run)];
    await tls('renew', folder);
    const areNew = async (): Promise<boolean> =>
      (await shown(cluster(), run)).every((certificate) => !old.includes(certificate));
    await untilSeen(areNew, 'leader and worker show new certificates', takenMs);
    await run.goesOn();
    assert.deepEqual(await starts(run), first);
    const reached = await run.stopped();
    assert.deepEqual(reached, await files().trainedHere(endless, reached.step));
  });
}
