// One node of the test cluster: containerd, the kubelet, kube-proxy and a router that enforces
// network policies, in the node's namespaces, writing to the node's folder only.

import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createGroup } from './cgroups.js';
import { daemonIs, entering, run, startDaemon, type Daemon } from './daemons.js';
import { daemonGroup } from './networks.js';
import { kubeletClientCa } from './plane.js';
import {
  clusterGroup,
  hub,
  kubeconfigOf,
  podRanges,
  serviceRange,
  type NodePlace,
} from './places.js';

/** The cgroup of a node's pods, below the cluster's. */
export const podGroup = ({ name }: NodePlace): string => `pods-${name}`;

/** Where distributions have the plugins of the container network interface. */
export const pluginFolders = ['/usr/lib/cni', '/opt/cni/bin'];
export const plugins = ['bridge', 'host-local', 'loopback', 'portmap'];

/** The folder that has them all; undefined when there is none. */
export const findPlugins = (): string | undefined =>
  pluginFolders.find((folder) => plugins.every((plugin) => existsSync(join(folder, plugin))));

/** A node that is being started. */
export interface StartingNode {
  readonly daemons: Daemon[];
  /** Takes images from OCI archives. */
  importImages(archives: readonly string[]): Promise<void>;
  /** Starts what needs the API server. */
  join(): void;
  /** Starts the router, which needs the node's range of pods in its object. */
  route(): void;
}

/** Starts containerd on a node whose namespaces a process holds, and waits until it listens. */
export async function startNode(
  place: NodePlace,
  holder: number,
  bin: string,
): Promise<StartingNode> {
  const { name, folder } = place;
  const within = { pid: holder, isNode: true };
  const daemons: Daemon[] = [];
  const start = (argv: readonly string[], environment: Record<string, string> = {}): Daemon => {
    const program = argv[0]?.split('/').at(-1) ?? '';
    const options = { name: program, folder, group: daemonGroup, within, environment };
    const daemon = startDaemon(argv, options);
    daemons.push(daemon);
    return daemon;
  };
  createGroup(podGroup(place));
  mkdirSync(join(folder, 'cni'), { recursive: true });
  writeFileSync(join(folder, 'containerd.toml'), containerdConfig(folder));
  writeFileSync(join(folder, 'cni', '10-bridge.conflist'), bridgeConfig(place));
  writeFileSync(join(folder, 'kubelet.yaml'), JSON.stringify(kubeletConfig(place)));
  writeFileSync(join(folder, 'kube-proxy.yaml'), JSON.stringify(proxyConfig(place)));
  writeFileSync(join(folder, 'resolv.conf'), '');
  const socket = join(folder, 'containerd.sock');
  const containerd = start(['containerd', '--config', join(folder, 'containerd.toml')]);
  const ctr = (words: string): Promise<string> =>
    run([...entering(within), 'ctr', '-a', socket, '-n', 'k8s.io', ...words.split(' ')], 300_000);
  const listens = (): Promise<boolean> =>
    ctr('version').then(
      () => true,
      () => false,
    );
  await daemonIs(containerd, 'listens', listens);
  return {
    daemons,
    async importImages(archives) {
      for (const archive of archives) await ctr(`images import --snapshotter overlayfs ${archive}`);
    },
    join() {
      start([
        join(bin, 'kubelet'),
        `--config=${join(folder, 'kubelet.yaml')}`,
        `--kubeconfig=${kubeconfigOf(name)}`,
        `--root-dir=${join(folder, 'kubelet')}`,
        `--cert-dir=${join(folder, 'kubelet-pki')}`,
        `--hostname-override=${name}`,
        `--node-ip=${place.address}`,
      ]);
      start([join(bin, 'kube-proxy'), `--config=${join(folder, 'kube-proxy.yaml')}`]);
    },
    route() {
      const flags = ['--run-router=false', '--run-service-proxy=false', '--run-firewall=true'];
      start(
        [
          join(bin, 'kube-router'),
          `--kubeconfig=${kubeconfigOf('admin')}`,
          `--hostname-override=${name}`,
          ...[...flags, '--run-loadbalancer=false', '--metrics-port=0', '--health-port=20244'],
          `--service-cluster-ip-range=${serviceRange}`,
        ],
        { NODE_NAME: name },
      );
    },
  };
}

function containerdConfig(folder: string): string {
  const cri = 'plugins."io.containerd.grpc.v1.cri"';
  const snapshotters = ['aufs', 'btrfs', 'zfs', 'devmapper'].map(
    (kind) => `"io.containerd.snapshotter.v1.${kind}"`,
  );
  return `version = 2
root = "${folder}/containerd"
state = "${folder}/containerd-run"
oom_score = 0
disabled_plugins = [${[...snapshotters, '"io.containerd.internal.v1.opt"'].join(', ')}]
[grpc]
  address = "${folder}/containerd.sock"
[${cri}]
  sandbox_image = "localhost/pause:1"
  # Without CAP_SYS_RESOURCE no score can be lowered.
  restrict_oom_score_adj = true
  disable_apparmor = true
  [${cri}.containerd]
    snapshotter = "overlayfs"
    default_runtime_name = "runc"
    [${cri}.containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
      [${cri}.containerd.runtimes.runc.options]
        SystemdCgroup = false
  [${cri}.cni]
    bin_dir = "${findPlugins() ?? ''}"
    conf_dir = "${folder}/cni"
`;
}

function bridgeConfig({ folder, podRange }: NodePlace): string {
  const ranges = [[{ subnet: podRange }]];
  const ipam = { type: 'host-local', ranges, dataDir: join(folder, 'cni-networks') };
  const bridge = { isGateway: true, isDefaultGateway: true, ipMasq: false, hairpinMode: true };
  return JSON.stringify({
    ...{ cniVersion: '0.4.0', name: 'lockstep-nodes' },
    plugins: [
      { type: 'bridge', bridge: 'cni0', ...bridge, ipam },
      { type: 'portmap', capabilities: { portMappings: true } },
    ],
  });
}

function kubeletConfig(place: NodePlace): Record<string, unknown> {
  const { folder } = place;
  return {
    apiVersion: 'kubelet.config.k8s.io/v1beta1',
    kind: 'KubeletConfiguration',
    // A setting of the machine that it may not change is no reason to end.
    featureGates: { KubeletInUserNamespace: true },
    failCgroupV1: false,
    failSwapOn: false,
    cgroupDriver: 'cgroupfs',
    cgroupRoot: `/${clusterGroup}/${podGroup(place)}`,
    oomScoreAdj: 0,
    maxOpenFiles: 10_000,
    containerRuntimeEndpoint: `unix://${folder}/containerd.sock`,
    authentication: {
      anonymous: { enabled: false },
      webhook: { enabled: true },
      x509: { clientCAFile: kubeletClientCa },
    },
    authorization: { mode: 'Webhook' },
    clusterDNS: [hub.address],
    clusterDomain: 'cluster.local',
    resolvConf: join(folder, 'resolv.conf'),
    podLogsDir: join(folder, 'pod-logs'),
    volumePluginDir: join(folder, 'volume-plugins'),
    evictionHard: {
      'memory.available': '100Mi',
      'nodefs.available': '1%',
      'imagefs.available': '1%',
      'nodefs.inodesFree': '1%',
    },
    imageGCHighThresholdPercent: 100,
    nodeStatusUpdateFrequency: '5s',
    // What changes in a Secret is in the pods' files some seconds later.
    syncFrequency: '10s',
    // It tells that it lives every four seconds, also beside a busy machine.
    nodeLeaseDurationSeconds: 16,
  };
}

function proxyConfig({ name }: NodePlace): Record<string, unknown> {
  return {
    apiVersion: 'kubeproxy.config.k8s.io/v1alpha1',
    kind: 'KubeProxyConfiguration',
    mode: 'iptables',
    hostnameOverride: name,
    clusterCIDR: podRanges,
    clientConnection: { kubeconfig: kubeconfigOf('proxy') },
    // The table of connections is the machine's: its size stays.
    conntrack: { maxPerCore: 0, min: 0 },
    healthzBindAddress: '127.0.0.1:10256',
    metricsBindAddress: '127.0.0.1:10249',
  };
}
