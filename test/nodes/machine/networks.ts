// The networks of the test cluster: the hub's with a bridge, and one a node on it. None has a way
// out of the machine. A network is held by a process in it, and goes with it: nothing of the
// machine's own network is touched.

import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { createGroup } from './cgroups.js';
import { daemonIs, entering, run, startDaemon, type Daemon } from './daemons.js';
import { clusterFolder, hub, nodePlaces, type ClusterPids, type NodePlace } from './places.js';

/** The cgroup of everything but pods. */
export const daemonGroup = 'daemons';

const ready = 'ready';

/** What a kubelet sets for the whole machine. On a node, files lie over them. */
const machineSettings = ['vm/overcommit_memory', 'kernel/panic', 'kernel/panic_on_oops'];

/** A process that holds namespaces open once a shell in them has run `script`. */
async function hold(name: string, unshared: string, script: string): Promise<Daemon> {
  const shell = `${script}\necho ${ready}\nexec sleep infinity`;
  const daemon = startDaemon(
    ['unshare', ...unshared.split(' '), '--propagation', 'private', 'sh', '-ec', shell],
    { name: `holder-${name}`, folder: clusterFolder, group: daemonGroup },
  );
  await daemonIs(daemon, 'has its namespaces', () => daemon.tail(3).includes(ready));
  return daemon;
}

/** A node's own mounts: what programs write outside their folders stays in the node. */
function nodeScript({ name, folder }: NodePlace): string {
  const settings = machineSettings.map((setting) => {
    const file = join(folder, 'sysctl', setting);
    mkdirSync(dirname(file), { recursive: true });
    const own = join('/proc/sys', setting);
    writeFileSync(file, existsSync(own) ? readFileSync(own) : '0\n');
    return `mount --bind ${file} ${own}`;
  });
  const ownFolders = ['/run', '/var/lib', '/var/log'];
  return [
    `hostname ${name}`,
    ...ownFolders.map((path) => `mount -t tmpfs -o mode=755 tmpfs ${path}`),
    'mkdir -p /run/lock',
    ...settings,
    // Mounts that the kubelet makes must be seen by what containerd starts.
    'mount --make-rshared /',
  ].join('\n');
}

/** Makes all networks and connects them. */
export async function createNetworks(): Promise<ClusterPids> {
  createGroup(daemonGroup);
  const [hubHolder, ...holders] = await Promise.all([
    hold('hub', '--net --mount', 'ip link set lo up'),
    ...nodePlaces.map((place) => hold(place.name, '--net --mount --uts', nodeScript(place))),
  ]);
  const inHub = (words: string): Promise<string> =>
    run([...entering({ pid: hubHolder.pid, isNode: false }), 'ip', ...words.split(' ')]);
  await inHub('link add br0 type bridge');
  await inHub(`addr add ${hub.address}/24 dev br0`);
  await inHub('link set br0 up');
  for (const [index, place] of nodePlaces.entries())
    await connectNode(place, holders[index]?.pid ?? -1, hubHolder.pid, inHub);
  const nodes = nodePlaces.map(({ name }, index) => [name, holders[index]?.pid ?? -1] as const);
  return { hub: hubHolder.pid, nodes: Object.fromEntries(nodes) };
}

async function connectNode(
  place: NodePlace,
  pid: number,
  hubPid: number,
  inHub: (words: string) => Promise<string>,
): Promise<void> {
  const onNode = (words: string): Promise<string> =>
    run([...entering({ pid, isNode: true }), ...words.split(' ')]);
  await onNode('ip link set lo up');
  await onNode(`ip link add eth0 type veth peer name ${place.name} netns ${hubPid}`);
  await inHub(`link set ${place.name} master br0 up`);
  await onNode(`ip addr add ${place.address}/24 dev eth0`);
  await onNode('ip link set eth0 up');
  await inHub(`route add ${place.podRange} via ${place.address}`);
  for (const other of nodePlaces.filter((each) => each !== place))
    await onNode(`ip route add ${other.podRange} via ${other.address}`);
  // The kubelet and kube-proxy want a default route; the hub forwards nothing.
  await onNode(`ip route add default via ${hub.address}`);
  const forward = 'echo 1 >/proc/sys/net/ipv4/ip_forward';
  await run([...entering({ pid, isNode: true }), 'sh', '-c', forward]);
}
