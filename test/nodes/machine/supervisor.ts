// The process that starts the test cluster and takes it away again: when its standard input ends,
// which it does however the test's process ends, or by a signal. If it is killed itself, the next
// one finds what is left, by the cgroups, and takes that away first.
//
//   node dist/test/nodes/machine/supervisor.js        starts; a line of JSON says what came of it
//   node dist/test/nodes/machine/supervisor.js clean  only takes away what an earlier one left

import { appendFileSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { until } from '../../support/until.js';
import { enterGroup, hasGroup, killGroups, removeGroups, sealGroups } from './cgroups.js';
import { daemonIs, entering, readyMs, run, type Daemon } from './daemons.js';
import { createNetworks, daemonGroup } from './networks.js';
import { startNode } from './node.js';
import { preparePlane, startPlane } from './plane.js';
import { imageArchives, programFolder } from './requirements.js';
import { clusterFolder, kubeconfigOf, lockName, nodePlaces, type ClusterPids } from './places.js';

/** What the supervisor says on its standard output. */
export type Announcement =
  | { readonly kind: 'ready'; readonly pids: ClusterPids }
  | { readonly kind: 'refused'; readonly reason: string };

const pidFile = join(clusterFolder, 'supervisor.pid');
/** Longest time that deleting the cluster's files may take. */
const removeMs = 300_000;
/** GPUs of a node: numbers without hardware, which the scheduler counts. */
const gpus = '4';

const log = (text: string): void =>
  appendFileSync(join(clusterFolder, 'supervisor.log'), `${new Date().toISOString()} ${text}\n`);

function announce(announcement: Announcement): void {
  // Who listened may have gone.
  process.stdout.on('error', () => undefined).write(`${JSON.stringify(announcement)}\n`);
}

/** True when no other supervisor is here; the kernel frees the name when this one ends. */
function takeLock(): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.on('error', () => resolve(false));
    server.listen(lockName, () => resolve(true));
    server.unref();
  });
}

async function removeAll(): Promise<void> {
  await killGroups();
  if (existsSync(clusterFolder)) {
    // Two unpacked images are many files: a busy machine is not to hold this up either.
    const enter = hasGroup(daemonGroup) ? `${enterGroup(daemonGroup)}; ` : '';
    await run(['sh', '-ec', `${enter}exec rm -rf ${clusterFolder}`], removeMs);
  }
  await removeGroups();
}

async function start(): Promise<ClusterPids> {
  const bin = programFolder();
  const archives = imageArchives();
  if (bin === undefined || archives === undefined) throw new Error('no programs, or no image');
  const daemons: Daemon[] = [];
  const pids = await createNetworks();
  await preparePlane();
  log('networks are there');
  const plane = startPlane(bin, pids.hub);
  const nodes = await Promise.all(
    nodePlaces.map(async (place) => {
      const node = await startNode(place, pids.nodes[place.name] ?? -1, bin);
      await node.importImages(archives);
      log(`${place.name} has the images`);
      return node;
    }),
  );
  daemons.push(...(await plane));
  log('the control plane is ready');
  for (const node of nodes) node.join();
  for (const node of nodes) daemons.push(...node.daemons);
  const kubectl = (...args: string[]): Promise<string> =>
    run([
      ...[...entering({ pid: pids.hub, isNode: false }), join(bin, 'kubectl')],
      ...[`--kubeconfig=${kubeconfigOf('admin')}`, ...args],
    ]);
  for (const [index, { name, podRange }] of nodePlaces.entries()) {
    await until(
      () =>
        kubectl('get', 'node', name).then(
          () => true,
          () => false,
        ),
      `${name} is known`,
      readyMs,
      200,
    );
    const spec = { podCIDR: podRange, podCIDRs: [podRange] };
    await kubectl('patch', 'node', name, '-p', JSON.stringify({ spec }));
    const capacity = { status: { capacity: { 'nvidia.com/gpu': gpus } } };
    const patch = ['--subresource=status', '-p', JSON.stringify(capacity)];
    await kubectl('patch', 'node', name, ...patch);
    nodes[index]?.route();
  }
  await kubectl('wait', '--for=condition=Ready', 'node', '--all', '--timeout=120s');
  const last = nodes.flatMap((node) => node.daemons.slice(-1));
  for (const router of last)
    await daemonIs(router, 'enforces policies', () => /controller/.test(router.tail(50)));
  log('the nodes are ready');
  for (const daemon of daemons)
    if (!daemon.isUp()) throw new Error(`${daemon.name} ended:\n${daemon.tail(30)}`);
  return pids;
}

async function main(): Promise<void> {
  if (!(await takeLock())) {
    const pid = existsSync(pidFile) ? readFileSync(pidFile, 'utf8') : 'not known yet';
    announce({ kind: 'refused', reason: `another test cluster runs here: process ${pid}` });
    process.exit(3);
  }
  // What an earlier supervisor left when it was killed.
  await removeAll();
  if (process.argv[2] === 'clean') process.exit(0);
  mkdirSync(clusterFolder, { recursive: true });
  writeFileSync(pidFile, `${process.pid}`);
  let starting: Promise<void> = Promise.resolve();
  let isStopping = false;
  const stop = async (): Promise<void> => {
    if (isStopping) return;
    isStopping = true;
    sealGroups();
    await killGroups();
    await starting;
    await removeAll();
    process.exit(0);
  };
  process.stdin
    .on('end', () => void stop())
    .on('error', () => void stop())
    .resume();
  for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const)
    process.on(signal, () => void stop());
  starting = start().then(
    (pids) => announce({ kind: 'ready', pids }),
    async (error: unknown) => {
      if (isStopping) return;
      announce({ kind: 'refused', reason: error instanceof Error ? error.message : `${error}` });
      void stop();
    },
  );
  await starting;
}

await main();
