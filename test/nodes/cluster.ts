// The test cluster as a test sees it: two real nodes, kubectl and lockstep on a "laptop" beside
// them, and what can be done to nodes and containers from outside. A supervisor starts and stops
// it all.

import assert from 'node:assert/strict';
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { request, type IncomingMessage } from 'node:http';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { text } from 'node:stream/consumers';
import { childEnvironment } from '../../shared/environment.js';
import { packageFile } from '../../shared/paths.js';
import { runProgram, type Output } from '../kubernetes/children.js';
import type { CommandResult } from '../support/lockstep-command.js';
import { until } from '../support/until.js';
import { enterGroup, pidsIn } from './machine/cgroups.js';
import { entering } from './machine/daemons.js';
import { daemonGroup } from './machine/networks.js';
import { groupsOfOurs } from './machine/machine-state.js';
import { podGroup } from './machine/node.js';
import { apiSocket, dnsLog, kubeconfigWith } from './machine/plane.js';
import { programFolder } from './machine/requirements.js';
import type { Announcement } from './machine/supervisor.js';
import {
  clusterFolder,
  kubeconfigOf,
  nodePlaces,
  planeFolder,
  s3Endpoint,
  s3Folder,
  s3Keys,
  type ClusterPids,
} from './machine/places.js';

/** The image on the nodes, built from this checkout. */
export const image = 'localhost/lockstep:cpu';
/** The bucket of datasets and runs, and the Secret with its keys in every namespace. */
export const bucket = 'lockstep';
export const s3Secret = 's3';

/** Longest start and end of the cluster, on a busy machine. */
const startMs = 420_000;
const stopMs = 420_000;

/** Options of a program that is run beside the cluster. */
interface RunOptions {
  readonly input?: string;
  readonly timeoutMs?: number;
  readonly env?: Record<string, string>;
}

/** A running cluster. */
export interface NodeCluster {
  /** The process that keeps it up. */
  readonly supervisor: ChildProcess;
  /** Runs kubectl as the administrator. */
  kubectl(args: readonly string[], options?: RunOptions): Promise<Output>;
  /** The same, for what it says; rejects with the reason when it fails. */
  ask(args: readonly string[], input?: string): Promise<string>;
  /** An object or a list by its path at the API server. Far cheaper than kubectl. */
  get<T>(path: string): Promise<T>;
  /** Runs `lockstep` as an operator beside the cluster, who has its keys; at most `timeoutMs`. */
  lockstep(args: readonly string[], timeoutMs?: number): Promise<CommandResult>;
  /** Runs a program in the laptop's network. */
  beside(argv: readonly string[], options?: RunOptions): Promise<Output>;
  /** Runs a program in a node's network and mounts. */
  onNode(node: string, argv: readonly string[]): Promise<Output>;
  /** Makes a namespace with the Secret of S3's keys in it. */
  createNamespace(name: string, labels?: Readonly<Record<string, string>>): Promise<void>;
  /** Writes a kubeconfig with a token, and gives its path. */
  writeKubeconfig(name: string, token: string, namespace: string): string;
  /** Pulls a node's plug, or puts it back: it runs on, and nothing reaches it. */
  cut(node: string): Promise<void>;
  reconnect(node: string): Promise<void>;
  /** The processes of a pod's containers, as the machine numbers them. */
  pidsOf(namespace: string, pod: string): Promise<number[]>;
  /** The processes in pods whose command line has those words in it. */
  processesWith(words: string): number[];
  /** Kills all of a pod's containers, as their node sees it from outside. */
  killContainers(namespace: string, pod: string): Promise<void>;
  /** The names that pods asked the cluster's DNS for so far. */
  lookUps(): string[];
  /** What a person would look at after a failure. */
  describe(): Promise<string>;
  /** Kills its supervisor, and takes away what that leaves. */
  kill(): Promise<void>;
}

/** `until`, less often: what is asked here competes with what it waits for. */
export function untilSeen(
  condition: () => Promise<boolean>,
  what: string,
  timeoutMs: number,
): Promise<void> {
  return until(condition, what, timeoutMs, 500);
}

/** Starts a supervisor, which brings the cluster up. */
export function spawnSupervisor(args: readonly string[] = []): ChildProcess {
  const path = packageFile('dist/test/nodes/machine/supervisor.js');
  return spawn(process.execPath, [path, ...args], {
    env: childEnvironment({}),
    stdio: ['pipe', 'pipe', 'inherit'],
    // What interrupts the test does not interrupt it: it stops when its input ends.
    detached: true,
  });
}

/** Starts a supervisor; resolves with it and what it announces. */
export async function startSupervisor(
  args: readonly string[] = [],
): Promise<{ readonly supervisor: ChildProcess; readonly said: Announcement | undefined }> {
  const supervisor = spawnSupervisor(args);
  const { stdout } = supervisor;
  assert.ok(stdout);
  const said = await new Promise<Announcement | undefined>((resolve) => {
    createInterface({ input: stdout }).once('line', (line) =>
      resolve(JSON.parse(line) as Announcement),
    );
    supervisor.once('exit', () => resolve(undefined));
    setTimeout(() => resolve(undefined), startMs).unref();
  });
  return { supervisor, said };
}

async function supervisorEnds(supervisor: ChildProcess): Promise<void> {
  const hasEnded = (): boolean => supervisor.exitCode !== null || supervisor.signalCode !== null;
  await until(hasEnded, 'the supervisor has ended', stopMs, 100);
}

/** Takes away what is left of a cluster whose supervisor was killed. */
export async function removeLeftCluster(): Promise<void> {
  const { supervisor, said } = await startSupervisor(['clean']);
  await supervisorEnds(supervisor);
  assert.equal(supervisor.exitCode, 0, said?.kind === 'refused' ? said.reason : 'it failed');
}

/** Starts the cluster; rejects, with nothing left behind, when it does not start. */
export async function startNodeCluster(): Promise<NodeCluster> {
  const { supervisor, said } = await startSupervisor();
  if (said?.kind !== 'ready') {
    const last = describeLogs(20);
    supervisor.stdin?.end();
    await supervisorEnds(supervisor);
    throw new Error(`the nodes did not start: ${said?.reason ?? 'not in time'}\n${last}`);
  }
  mkdirSync(join(s3Folder, bucket), { recursive: true });
  return createCluster(supervisor, said.pids);
}

/** What an operator's environment has. */
const operator = {
  KUBECONFIG: kubeconfigOf('admin'),
  LOCKSTEP_S3_ENDPOINT: s3Endpoint,
  AWS_ACCESS_KEY_ID: s3Keys.accessKeyId,
  AWS_SECRET_ACCESS_KEY: s3Keys.secretAccessKey,
  AWS_REGION: 'us-east-1',
  LOCKSTEP_HTTP: 'off',
};

function createCluster(supervisor: ChildProcess, pids: ClusterPids): NodeCluster {
  const runIn = (
    pid: number,
    isNode: boolean,
    argv: readonly string[],
    options: RunOptions = {},
  ) => {
    // In the cluster's cgroup, so that a busy machine does not hold it up.
    const script = `${enterGroup(daemonGroup)}; exec "$@"`;
    const args = ['-ec', script, 'sh', ...entering({ pid, isNode }), ...argv];
    return runProgram('sh', args, { ...options, env: { ...operator, ...options.env } });
  };
  const beside = (argv: readonly string[], options?: RunOptions): Promise<Output> =>
    runIn(pids.hub, false, argv, options);
  const kubectlPath = join(programFolder() ?? '', 'kubectl');
  const kubectl = (args: readonly string[], options?: RunOptions): Promise<Output> =>
    beside([kubectlPath, ...args], options);
  const ask = async (args: readonly string[], input?: string): Promise<string> => {
    const { code, stdout, stderr } = await kubectl(args, input === undefined ? {} : { input });
    if (code !== 0) throw new Error(`kubectl ${args.join(' ')} ended with ${code}: ${stderr}`);
    return stdout;
  };
  const link = async (node: string, state: 'up' | 'down'): Promise<void> => {
    const { code, stderr } = await beside(['ip', 'link', 'set', node, state]);
    assert.equal(code, 0, stderr);
  };
  const pidsOf = async (namespace: string, pod: string): Promise<number[]> => {
    const ids = 'jsonpath={.status.containerStatuses[*].containerID}';
    const text = await ask(['-n', namespace, 'get', 'pod', pod, '-o', ids]);
    const containers = text.split(' ').map((id) => id.replace(/^.*:\/\//, ''));
    return nodePlaces.flatMap((place) =>
      containers.flatMap((id) => (id === '' ? [] : pidsIn(podGroup(place), id))),
    );
  };
  return {
    ...{ supervisor, kubectl, ask, beside, pidsOf },
    get: async <T>(path: string) => (await getObject(path)) as T,
    async lockstep(args, timeoutMs = 300_000) {
      const command = [process.execPath, packageFile('bin/lockstep.js'), ...args];
      const { code, stdout, stderr } = await beside(command, { timeoutMs });
      const lines = stdout.split('\n').filter((line) => line.startsWith('{'));
      return {
        code,
        stderr,
        lines: lines.map((line) => JSON.parse(line) as Record<string, unknown>),
      };
    },
    onNode: (node, argv) => runIn(pids.nodes[node] ?? assert.fail(`no ${node}`), true, argv),
    createNamespace: (name, labels) => createNamespace({ kubectl, ask }, name, labels),
    writeKubeconfig(name, token, namespace) {
      const path = join(planeFolder, `${name}.kubeconfig`);
      writeFileSync(path, kubeconfigWith(token, namespace), { mode: 0o600 });
      return path;
    },
    cut: (node) => link(node, 'down'),
    reconnect: (node) => link(node, 'up'),
    async killContainers(namespace, pod) {
      const found = await pidsOf(namespace, pod);
      assert.ok(found.length > 0, `${pod} has processes`);
      for (const pid of found) process.kill(pid, 'SIGKILL');
    },
    processesWith: (words) =>
      nodePlaces
        .flatMap((place) => pidsIn(podGroup(place)))
        .filter((pid) => commandLineOf(pid).includes(words)),
    lookUps: () =>
      [...readFileSync(dnsLog, 'utf8').matchAll(/"[A-Z]+ IN (\S+)\. /g)].map((m) => m[1] ?? ''),
    describe: () => describeCluster({ kubectl }),
    async kill() {
      supervisor.kill('SIGKILL');
      await supervisorEnds(supervisor);
      assert.notDeepEqual(groupsOfOurs(), [], 'all else lives on');
      await removeLeftCluster();
    },
  };
}

async function getObject(path: string): Promise<unknown> {
  const asked = request({ socketPath: apiSocket, path, timeout: 30_000 }).end();
  asked.on('timeout', () => asked.destroy(new Error(`no answer to ${path}`)));
  const [answer] = (await once(asked, 'response')) as [IncomingMessage];
  const body = await text(answer);
  if (answer.statusCode !== 200) throw new Error(`${path}: ${answer.statusCode} ${body}`);
  return JSON.parse(body);
}

/** Empty when the process has gone. */
function commandLineOf(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ');
  } catch {
    return '';
  }
}

type Asking = Pick<NodeCluster, 'kubectl' | 'ask'>;

async function createNamespace(
  { kubectl, ask }: Asking,
  name: string,
  labels: Readonly<Record<string, string>> = {},
): Promise<void> {
  const object = { apiVersion: 'v1', kind: 'Namespace', metadata: { name, labels } };
  await ask(['create', '-f', '-'], JSON.stringify(object));
  const wanted = ['get', 'serviceaccount/default', 'configmap/kube-root-ca.crt', '-n', name];
  await untilSeen(async () => (await kubectl(wanted)).code === 0, `${name} is ready`, 60_000);
  const keys = [
    `AWS_ACCESS_KEY_ID=${s3Keys.accessKeyId}`,
    `AWS_SECRET_ACCESS_KEY=${s3Keys.secretAccessKey}`,
  ].map((key) => `--from-literal=${key}`);
  await ask(['-n', name, 'create', 'secret', 'generic', s3Secret, ...keys]);
}

async function describeCluster({ kubectl }: Pick<NodeCluster, 'kubectl'>): Promise<string> {
  const views = [
    ['get', 'nodes,jobs,pods', '-A', '-o', 'wide'],
    ['get', 'events', '-A', '--sort-by=.lastTimestamp'],
  ];
  const seen = await Promise.all(views.map((args) => kubectl(args)));
  const texts = seen.map(({ stdout, stderr }) => stdout.split('\n').slice(-60).join('\n') + stderr);
  return [...texts, describeLogs(5)].join('\n');
}

/** The last lines of every log of the cluster's programs. */
function describeLogs(lines: number): string {
  const folders = [clusterFolder, planeFolder, ...nodePlaces.map(({ folder }) => folder)];
  const logs = folders.flatMap((folder) => {
    try {
      const names = readdirSync(folder).filter((name) => name.endsWith('.log'));
      return names.map((name) => join(folder, name));
    } catch {
      return [];
    }
  });
  const last = (path: string): string =>
    readFileSync(path, 'utf8')
      .split('\n')
      .slice(-lines - 1)
      .join('\n');
  return logs.map((path) => `--- ${path}\n${last(path)}`).join('\n');
}
