// The control plane of the test cluster, with DNS and S3, in the hub's network: the real programs,
// with times shorter than a cluster's defaults, so that a lost node is noticed within a test.

import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { copyFileSync, existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { daemonIs, entering, run, startDaemon, type Daemon } from './daemons.js';
import { daemonGroup } from './networks.js';
import {
  hub,
  kubeconfigOf,
  nodePlaces,
  planeFolder,
  podRanges,
  s3Folder,
  s3Keys,
  serviceRange,
} from './places.js';

/** How long a node may be silent until it counts as lost, in seconds. */
export const nodeGraceS = 20;
/** How long pods stay bound to a lost node after that. */
const tolerationS = 15;

const file = (name: string): string => join(planeFolder, name);
const certificate = file('certs/apiserver.crt');
/** The authority that the API server's own client certificate is of: kubelets trust it. */
export const kubeletClientCa = file('client-ca.crt');
const authority = file('ca.crt');

/** Users with a kubeconfig: name in the cluster, and group. */
const users: Readonly<Record<string, readonly [string, string]>> = {
  admin: ['admin', 'system:masters'],
  controllers: ['system:kube-controller-manager', ''],
  scheduler: ['system:kube-scheduler', ''],
  proxy: ['system:kube-proxy', ''],
  ...Object.fromEntries(
    nodePlaces.map(({ name }) => [name, [`system:node:${name}`, 'system:nodes']] as const),
  ),
};

/** Writes keys, tokens and kubeconfigs. */
export async function preparePlane(): Promise<void> {
  mkdirSync(file('certs'), { recursive: true });
  const write = (name: string, text: string): void =>
    writeFileSync(file(name), text, { mode: 0o600 });
  const { privateKey, publicKey } = generateKeyPairSync('rsa', {
    modulusLength: 2048,
    privateKeyEncoding: { type: 'pkcs8', format: 'pem' },
    publicKeyEncoding: { type: 'spki', format: 'pem' },
  });
  write('sa.key', privateKey);
  write('sa.pub', publicKey);
  const rows = Object.entries(users).map(([name, [user, group]]) => {
    const token = randomBytes(16).toString('hex');
    write(`${name}.kubeconfig`, kubeconfigWith(token));
    return `${token},${user},${name},"${group}"`;
  });
  write('tokens.csv', `${rows.join('\n')}\n`);
  await makeKubeletClient();
}

/** A kubeconfig with a token, as text. */
export function kubeconfigWith(token: string, namespace = 'default'): string {
  const server = `https://${hub.address}:${hub.apiPort}`;
  return JSON.stringify({
    ...{ apiVersion: 'v1', kind: 'Config', 'current-context': 'test' },
    clusters: [{ name: 'test', cluster: { server, 'certificate-authority': authority } }],
    users: [{ name: 'test', user: { token } }],
    contexts: [{ name: 'test', context: { cluster: 'test', user: 'test', namespace } }],
  });
}

/** The certificate with which the API server asks kubelets for logs, and runs commands in pods. */
async function makeKubeletClient(): Promise<void> {
  const openssl = (words: string): Promise<string> => run(['openssl', ...words.split(' ')]);
  const key = (name: string): string =>
    `-newkey rsa:2048 -nodes -keyout ${file(`${name}.key`)} -subj`;
  await openssl(`req -x509 ${key('client-ca')} /CN=lockstep-test -days 3 -out ${kubeletClientCa}`);
  await openssl(`req ${key('client')} /O=system:masters/CN=apiserver -out ${file('client.csr')}`);
  writeFileSync(file('client.ext'), 'extendedKeyUsage=clientAuth\n');
  await openssl(
    `x509 -req -in ${file('client.csr')} -CA ${kubeletClientCa} -CAkey ${file('client-ca.key')}` +
      ` -CAcreateserial -days 3 -extfile ${file('client.ext')} -out ${file('client.crt')}`,
  );
}

/** Starts the programs of a folder in the hub's network, and waits until they are ready. */
export async function startPlane(bin: string, hubPid: number): Promise<Daemon[]> {
  const started: Daemon[] = [];
  const within = { pid: hubPid, isNode: false };
  const start = (
    name: string,
    flags: readonly string[],
    environment: Readonly<Record<string, string>> = {},
  ): Daemon => {
    const options = { name, folder: planeFolder, group: daemonGroup, within, environment };
    const daemon = startDaemon([join(bin, name), ...flags], options);
    started.push(daemon);
    return daemon;
  };
  mkdirSync(s3Folder, { recursive: true });
  start('versitygw', ['--port', `${hub.address}:${hub.s3Port}`, 'posix', s3Folder], {
    ROOT_ACCESS_KEY: s3Keys.accessKeyId,
    ROOT_SECRET_KEY: s3Keys.secretAccessKey,
  });
  start('etcd', [`--data-dir=${file('etcd')}`, '--unsafe-no-fsync']);
  const server = start('kube-apiserver', apiServer());
  const isReady = (url: string) => async (): Promise<boolean> => {
    const ask = ['curl', '--insecure', '--silent', '--fail', '--max-time', '3', url];
    return run([...entering(within), ...ask]).then(
      () => true,
      () => false,
    );
  };
  const api = `https://${hub.address}:${hub.apiPort}`;
  await daemonIs(server, 'is ready', isReady(`${api}/readyz`));
  copyFileSync(certificate, authority);
  writeFileSync(file('Corefile'), corefile);
  const others: readonly [Daemon, string][] = [
    [start('kube-controller-manager', controllerManager()), 'https://127.0.0.1:10257/healthz'],
    [start('kube-scheduler', scheduler()), 'https://127.0.0.1:10259/healthz'],
    [start('coredns', ['-conf', file('Corefile')]), `http://${hub.address}:8080/health`],
  ];
  for (const [daemon, url] of others) await daemonIs(daemon, 'is ready', isReady(url));
  const admin = `--kubeconfig=${kubeconfigOf('admin')}`;
  const proxy = start('kubectl', ['proxy', admin, `--unix-socket=${apiSocket}`]);
  await daemonIs(proxy, 'listens', () => existsSync(apiSocket));
  return started;
}

/** Where the administrator's requests go to the API server by HTTP, also from other networks. */
export const apiSocket = file('api.sock');

function apiServer(): string[] {
  return [
    '--etcd-servers=http://127.0.0.1:2379',
    `--cert-dir=${file('certs')}`,
    `--bind-address=${hub.address}`,
    `--advertise-address=${hub.address}`,
    `--secure-port=${hub.apiPort}`,
    `--service-cluster-ip-range=${serviceRange}`,
    `--service-account-key-file=${file('sa.pub')}`,
    `--service-account-signing-key-file=${file('sa.key')}`,
    '--service-account-issuer=https://kubernetes.default.svc',
    '--authorization-mode=Node,RBAC',
    '--enable-admission-plugins=NodeRestriction',
    '--allow-privileged=true',
    `--token-auth-file=${file('tokens.csv')}`,
    '--kubelet-preferred-address-types=InternalIP',
    `--kubelet-client-certificate=${file('client.crt')}`,
    `--kubelet-client-key=${file('client.key')}`,
    `--default-not-ready-toleration-seconds=${tolerationS}`,
    `--default-unreachable-toleration-seconds=${tolerationS}`,
  ];
}

const kubeconfigFlags = (user: string): string[] =>
  ['kubeconfig', 'authentication-kubeconfig', 'authorization-kubeconfig'].map(
    (flag) => `--${flag}=${kubeconfigOf(user)}`,
  );

function controllerManager(): string[] {
  return [
    ...kubeconfigFlags('controllers'),
    ...['--leader-elect=false', '--bind-address=127.0.0.1', '--use-service-account-credentials'],
    `--service-account-private-key-file=${file('sa.key')}`,
    `--root-ca-file=${authority}`,
    '--node-monitor-period=1s',
    `--node-monitor-grace-period=${nodeGraceS}s`,
    `--cluster-cidr=${podRanges}`,
    // It makes this folder, wherever it is.
    `--flex-volume-plugin-dir=${file('volume-plugins')}`,
  ];
}

function scheduler(): string[] {
  return [...kubeconfigFlags('scheduler'), '--leader-elect=false', '--bind-address=127.0.0.1'];
}

/** Where CoreDNS writes each question that it was asked. */
export const dnsLog = file('coredns.log');

const corefile = `.:53 {
  bind ${hub.address}
  errors
  log
  health ${hub.address}:8080
  kubernetes cluster.local in-addr.arpa {
    kubeconfig ${kubeconfigOf('admin')} test
    pods insecure
    ttl 5
  }
  cache 5
}
`;

/** False before the plane was prepared: nothing is there to ask. */
export const isPrepared = (): boolean => existsSync(authority);
