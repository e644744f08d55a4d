// What a machine must have for nodes of its own: asked before anything is started, and each thing
// that is missing is named, so that the skipped tests say what to install.

import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { readEnvironment } from '../../../shared/environment.js';
import { runProgram } from '../../kubernetes/children.js';
import { findOnPath, isProgram } from '../../support/servers.js';
import { cgroupProblem } from './cgroups.js';
import { findPlugins } from './node.js';

/** Programs that test/kubernetes/build-programs.sh builds. */
const built = [
  ...['etcd', 'kube-apiserver', 'kube-controller-manager', 'kube-scheduler', 'kubectl'],
  ...['kubelet', 'kube-proxy', 'coredns', 'kube-router', 'versitygw'],
];

/** Programs of the distribution, by the Debian package that has them. */
const installed: Readonly<Record<string, readonly string[]>> = {
  containerd: ['containerd', 'ctr'],
  runc: ['runc'],
  'util-linux': ['nsenter', 'unshare', 'mount'],
  iproute2: ['ip'],
  iptables: ['iptables'],
  ipset: ['ipset'],
  conntrack: ['conntrack'],
  openssl: ['openssl'],
  curl: ['curl'],
};

/** What the kernel must let us do, tried in namespaces that are gone at once. */
const trials: Readonly<Record<string, string>> = {
  'network and mount namespaces': 'true',
  'bridges and virtual links': 'ip link add br0 type bridge && ip link add v0 type veth',
  'iptables with connection tracking': 'iptables -A INPUT -m conntrack --ctstate NEW -j ACCEPT',
  ipsets: 'ipset create lockstep hash:ip',
};

/** Folder of the built programs. */
export const programFolder = (): string | undefined => readEnvironment().test.kubernetes;

/** The archives of the images, in the order in which nodes take them. */
export function imageArchives(): string[] | undefined {
  const folder = readEnvironment().test.images;
  if (folder === undefined) return undefined;
  const archives = ['pause.tar', 'lockstep.tar'].map((name) => join(folder, name));
  return archives.every((path) => existsSync(path)) ? archives : undefined;
}

/** For `{ skip }` of a suite: false when all is there, else the reason with all that is missing. */
export async function skipWithoutNodes(): Promise<false | string> {
  const missing = await missingHere();
  if (missing.length === 0) return false;
  return `no Kubernetes nodes here, which npm run test:k8s starts; missing: ${missing.join(', ')}`;
}

async function missingHere(): Promise<string[]> {
  if (process.platform !== 'linux') return ['Linux'];
  if (process.getuid?.() !== 0) return ['root'];
  const folder = programFolder();
  const missing = [
    ...built.filter((name) => folder === undefined || !isProgram(join(folder, name))),
    ...(imageArchives() === undefined ? ["Lockstep's image"] : []),
    ...Object.entries(installed)
      .filter(([, names]) => !names.every(isOnPath))
      .map(([name]) => name),
    ...(findPlugins() === undefined ? ['containernetworking-plugins'] : []),
    ...(readFileSync('/proc/filesystems', 'utf8').includes('\toverlay\n') ? [] : ['overlayfs']),
  ];
  const problem = cgroupProblem();
  if (problem !== undefined) missing.push(problem);
  for (const [what, script] of Object.entries(trials))
    if (missing.length === 0 && !(await works(script))) missing.push(what);
  return missing;
}

async function works(script: string): Promise<boolean> {
  const args = ['--net', '--mount', '--uts', 'sh', '-ec', script];
  return (await runProgram('unshare', args)).code === 0;
}

const isOnPath = (name: string): boolean => findOnPath(name) !== undefined;
