// A real Kubernetes control plane without nodes: etcd, API server, controller manager and scheduler
// as processes on free loopback ports, with RBAC and Pod Security as in any cluster. It accepts or
// refuses objects; what becomes of their pods is seen in test/nodes.

import { KubeConfig } from '@kubernetes/client-node';
import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { rmSync } from 'node:fs';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { get } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { readEnvironment } from '../../shared/environment.js';
import { freePort, isProgram } from '../support/servers.js';
import { until } from '../support/until.js';
import { onOurEnd, runProgram, startServer, type Output, type Server } from './children.js';
import { apiServer, controllerManager, etcd, scheduler, type Layout } from './server-flags.js';

/** A running control plane. */
export interface ControlPlane {
  /** Folder of everything it writes; deleted by `close`. */
  readonly folder: string;
  /** Path of the administrator's kubeconfig, and the same for the client library. */
  readonly kubeconfig: string;
  config(): KubeConfig;
  /** Runs kubectl as the administrator, or with the kubeconfig that `env` names. */
  kubectl(args: readonly string[], options?: KubectlOptions): Promise<Output>;
  /** The same, for its output alone; rejects with what it said when it fails. */
  ask(args: readonly string[], input?: string): Promise<string>;
  /** Creates a namespace with labels, and waits until pods can be created in it. */
  createNamespace(name: string, labels?: Readonly<Record<string, string>>): Promise<void>;
  /** Writes a kubeconfig with that token. */
  writeKubeconfig(path: string, token: string, namespace?: string): Promise<void>;
  /** What a person would look at after a failure: objects, events, ends of the logs. */
  describe(): Promise<string>;
  close(): Promise<void>;
}

export interface KubectlOptions {
  readonly input?: string;
  readonly timeoutMs?: number;
  readonly env?: Record<string, string>;
}

/** Labels of a namespace that takes only pods of the Pod Security profile "restricted". */
export const restricted = { 'pod-security.kubernetes.io/enforce': 'restricted' };

/** Longest wait for a server to be ready, under load. */
const readyMs = 60_000;

/** Starts a control plane in a folder of its own; rejects with the logs where it does not. */
export async function startControlPlane(): Promise<ControlPlane> {
  const programs = findPrograms();
  if (programs === undefined) throw new Error(String(skipWithoutControlPlane()));
  const layout = await prepare();
  const servers: Server[] = [];
  const start = (program: string, args: readonly string[]): void =>
    void servers.push(startServer(program, args, layout.folder));
  const plane = createPlane(programs.kubectl, layout, servers);
  const isReady =
    (port: number, path = '/healthz') =>
    async (): Promise<boolean> => {
      const down = servers.find((server) => !server.isUp());
      if (down !== undefined) throw new Error(`${down.name} ended:\n${down.tail(30)}`);
      return answersWell(port, path);
    };
  try {
    start(programs.etcd, etcd(layout));
    start(programs['kube-apiserver'], apiServer(layout));
    await until(isReady(layout.ports.api, '/readyz'), 'the API server is ready', readyMs);
    await writeFile(layout.ca, await readFile(layout.certificate));
    start(programs['kube-controller-manager'], controllerManager(layout));
    start(programs['kube-scheduler'], scheduler(layout));
    await until(isReady(layout.ports.controllers), 'the controllers are ready', readyMs);
    await until(isReady(layout.ports.scheduler), 'the scheduler is ready', readyMs);
  } catch (error) {
    const tails = servers.map((server) => `--- ${server.name}\n${server.tail(20)}`).join('\n');
    await plane.close();
    throw new Error(`the control plane did not start\n${tails}`, { cause: error });
  }
  return plane;
}

async function prepare(): Promise<Layout> {
  const folder = await mkdtemp(join(tmpdir(), 'lockstep-kubernetes-'));
  await mkdir(join(folder, 'certs'));
  const [client, peer, api, controllers, schedules] = await freePorts(5);
  const token = (): string => randomBytes(16).toString('hex');
  const layout: Layout = {
    folder,
    ports: {
      etcdClient: client ?? 0,
      etcdPeer: peer ?? 0,
      api: api ?? 0,
      controllers: controllers ?? 0,
      scheduler: schedules ?? 0,
    },
    tokens: { admin: token(), controllers: token(), scheduler: token() },
    certificate: join(folder, 'certs', 'apiserver.crt'),
    ca: join(folder, 'ca.crt'),
  };
  const { privateKey, publicKey } = generateKeyPairSync('rsa', {
    modulusLength: 2048,
    privateKeyEncoding: { type: 'pkcs8', format: 'pem' },
    publicKeyEncoding: { type: 'spki', format: 'pem' },
  });
  const users = [
    `${layout.tokens.admin},admin,admin,"system:masters"`,
    `${layout.tokens.controllers},system:kube-controller-manager,controllers`,
    `${layout.tokens.scheduler},system:kube-scheduler,scheduler`,
  ];
  const write = (name: string, text: string) =>
    writeFile(join(folder, name), text, { mode: 0o600 });
  await write('sa.key', privateKey);
  await write('sa.pub', publicKey);
  await write('tokens.csv', `${users.join('\n')}\n`);
  for (const [user, value] of Object.entries(layout.tokens))
    await write(`${user}.kubeconfig`, kubeconfigText(layout, value));
  return layout;
}

/** Ports of which no two are the same. */
async function freePorts(count: number): Promise<number[]> {
  const ports = new Set<number>();
  while (ports.size < count) ports.add(await freePort());
  return [...ports];
}

function kubeconfigText({ ca, ports }: Layout, token: string, namespace = 'default'): string {
  return JSON.stringify({
    apiVersion: 'v1',
    kind: 'Config',
    'current-context': 'test',
    clusters: [
      {
        name: 'test',
        cluster: { server: `https://127.0.0.1:${ports.api}`, 'certificate-authority': ca },
      },
    ],
    users: [{ name: 'test', user: { token } }],
    contexts: [{ name: 'test', context: { cluster: 'test', user: 'test', namespace } }],
  });
}

/** True when the path answers 200. Who answers is not checked: it is a port of ours on loopback. */
function answersWell(port: number, path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const options = { rejectUnauthorized: false, timeout: 2_000, agent: false };
    const request = get(`https://127.0.0.1:${port}${path}`, options, (response) => {
      response.resume();
      resolve(response.statusCode === 200);
    });
    request.on('timeout', () => request.destroy(new Error('no answer')));
    request.on('error', () => resolve(false));
  });
}

function createPlane(
  kubectlPath: string,
  layout: Layout,
  servers: readonly Server[],
): ControlPlane {
  const { folder } = layout;
  const kubeconfig = join(folder, 'admin.kubeconfig');
  const forget = onOurEnd(() => rmSync(folder, { recursive: true, force: true }));
  const kubectl = (args: readonly string[], options: KubectlOptions = {}): Promise<Output> =>
    runProgram(kubectlPath, args, { ...options, env: { KUBECONFIG: kubeconfig, ...options.env } });
  const ask = async (args: readonly string[], input?: string): Promise<string> => {
    const { code, stdout, stderr } = await kubectl(args, input === undefined ? {} : { input });
    if (code !== 0) throw new Error(`kubectl ${args.join(' ')} ended with ${code}: ${stderr}`);
    return stdout;
  };
  return {
    folder,
    kubeconfig,
    config() {
      const config = new KubeConfig();
      config.loadFromFile(kubeconfig);
      return config;
    },
    kubectl,
    ask,
    async createNamespace(name, labels = {}) {
      const object = { apiVersion: 'v1', kind: 'Namespace', metadata: { name, labels } };
      await ask(['create', '-f', '-'], JSON.stringify(object));
      const wanted = ['get', 'serviceaccount/default', 'configmap/kube-root-ca.crt', '-n', name];
      await until(async () => (await kubectl(wanted)).code === 0, `namespace ${name} is ready`);
    },
    writeKubeconfig: (path, token, namespace) =>
      writeFile(path, kubeconfigText(layout, token, namespace), { mode: 0o600 }),
    async describe() {
      const views = [
        ['get', 'nodes,jobs,pods', '-A', '-o', 'wide'],
        ['get', 'events', '-A', '--sort-by=.lastTimestamp'],
      ];
      const seen = await Promise.all(views.map((args) => kubectl(args)));
      const logs = servers.map((server) => `--- ${server.name}\n${server.tail(5)}`);
      return [...seen.map(({ stdout, stderr }) => stdout + stderr), ...logs].join('\n');
    },
    async close() {
      await Promise.all(servers.map((server) => server.kill()));
      forget();
      await rm(folder, { recursive: true, force: true });
    },
  };
}

const programs = [
  'etcd',
  'kube-apiserver',
  'kube-controller-manager',
  'kube-scheduler',
  'kubectl',
] as const;

type Program = (typeof programs)[number];

/** Paths of all programs; undefined when one is missing. */
function findPrograms(): Record<Program, string> | undefined {
  const folder = readEnvironment().test.kubernetes;
  if (folder === undefined) return undefined;
  const paths = programs.map((program): [Program, string] => [program, join(folder, program)]);
  if (!paths.every(([, path]) => isProgram(path))) return undefined;
  return Object.fromEntries(paths) as Record<Program, string>;
}

/** For `{ skip }` of a suite: false when the programs are there, else the reason. */
export function skipWithoutControlPlane(): false | string {
  if (findPrograms() !== undefined) return false;
  return 'no Kubernetes control plane: npm run test:k8s builds one, for which it needs Go';
}
