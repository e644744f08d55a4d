// The node agent: plays the nodes of a test cluster, and runs each pod that is bound to one of them
// as processes of this machine. What it does not do is listed in ../README.md.

import {
  CoordinationV1Api,
  CoreV1Api,
  makeInformer,
  PatchStrategy,
  setHeaderOptions,
  V1MicroTime,
  type KubeConfig,
  type V1NodeStatus,
  type V1Pod,
  type V1Service,
} from '@kubernetes/client-node';
import { mkdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { childEnvironment } from '../../../shared/environment.js';
import { packageFile } from '../../../shared/paths.js';
import { until } from '../../support/until.js';
import { onOurEnd } from '../children.js';
import type { ControlPlane } from '../control-plane.js';
import { startLogServer } from './log-server.js';
import { accountVariables, sourcesOf } from './pod-inputs.js';
import { createPodWriter, PodRunner } from './pod-runner.js';
import { createServices, type Services } from './services.js';

export interface NodeAgentOptions {
  readonly plane: ControlPlane;
  readonly nodes: readonly NodeSpec[];
  /** The command of an image; the `lockstep` of this checkout when not given. */
  readonly entrypoint?: (image: string) => readonly string[];
}

/** Starts the agent, and waits until the scheduler may use its nodes. */
export async function startNodeAgent(options: NodeAgentOptions): Promise<NodeAgent> {
  const agent = new NodeAgent(options);
  await agent.start();
  return agent;
}

const keyOf = ({ metadata }: V1Pod): string => `${metadata?.namespace}/${metadata?.name}`;

export class NodeAgent {
  readonly #options: NodeAgentOptions;
  readonly #folder: string;
  readonly #namesFile: string;
  readonly #services: Services;
  readonly #nodes = new Map<string, () => void>();
  readonly #runners = new Map<string, PodRunner>();
  /** All there were. */
  readonly #history: PodRunner[] = [];
  readonly #closers: (() => void)[] = [];
  readonly #objects = new Map<string, V1Service>();
  /** Second number of the pods' addresses; the Services have the next. */
  readonly #octet = 10 + (process.pid % 115) * 2;
  #podCount = 0;

  constructor(options: NodeAgentOptions) {
    this.#options = options;
    this.#folder = join(options.plane.folder, 'pods');
    this.#namesFile = join(options.plane.folder, 'names.json');
    this.#services = createServices(this.#namesFile, this.#octet + 1);
    this.#closers.push(() => this.#services.close());
    this.#closers.push(onOurEnd(() => this.#abandonAll()));
  }

  async start(): Promise<void> {
    const { plane, nodes } = this.#options;
    await mkdir(this.#folder, { recursive: true });
    this.#services.update([], []);
    const tls = {
      cert: await readFile(plane.certificate, 'utf8'),
      key: await readFile(plane.key, 'utf8'),
    };
    const logs = await startLogServer(tls, (namespace, pod, container) =>
      this.#runners.get(`${namespace}/${pod}`)?.log(container),
    );
    this.#closers.push(() => logs.close());
    for (const node of nodes)
      this.#nodes.set(node.name, await registerNode(plane.config(), node, logs.port));
    await this.#watch();
    await until(
      async () => (await this.#untainted()) === nodes.length,
      'the nodes can be used',
      30_000,
    );
  }

  /** Process of a pod's container (the first when not named); undefined when none is running. */
  pid(namespace: string, pod: string, container?: string): number | undefined {
    return this.#runners.get(`${namespace}/${pod}`)?.pid(container);
  }

  /** What a pod's container has written so far, for as long as the pod is there. */
  log(namespace: string, pod: string, container: string): string {
    const lines = this.#runners.get(`${namespace}/${pod}`)?.log(container)?.lines ?? [];
    return lines.map(({ text }) => `${text}\n`).join('');
  }

  /** The last lines of every container there was, and how it ended. */
  describe(): string {
    return this.#history.map((runner) => runner.describe()).join('');
  }

  /** The node's power is cut: its processes are killed, and nothing is heard of it any more. */
  loseNode(name: string): void {
    this.#nodes.get(name)?.();
    this.#nodes.delete(name);
    for (const runner of this.#runners.values())
      if (runner.pod.spec?.nodeName === name) runner.abandon();
  }

  /** Kills all processes and stops; the objects stay. */
  close(): void {
    for (const fallSilent of this.#nodes.values()) fallSilent();
    this.#abandonAll();
    for (const close of this.#closers) close();
  }

  #abandonAll(): void {
    for (const runner of this.#runners.values()) runner.abandon();
  }

  async #untainted(): Promise<number> {
    const { items } = await this.#options.plane.config().makeApiClient(CoreV1Api).listNode();
    return items.filter(({ spec }) => (spec?.taints ?? []).length === 0).length;
  }

  async #watch(): Promise<void> {
    const config = this.#options.plane.config();
    const api = config.makeApiClient(CoreV1Api);
    const pods = makeInformer(config, '/api/v1/pods', () => api.listPodForAllNamespaces());
    const services = makeInformer(config, '/api/v1/services', () =>
      api.listServiceForAllNamespaces(),
    );
    pods.on('add', (pod) => this.#take(pod));
    pods.on('update', (pod) => this.#take(pod));
    pods.on('delete', (pod) => this.#drop(pod));
    const nameOf = ({ metadata }: V1Service): string => `${metadata?.namespace}/${metadata?.name}`;
    const keep = (service: V1Service): void => {
      this.#objects.set(nameOf(service), service);
      this.#serve();
    };
    services.on('add', keep);
    services.on('update', keep);
    services.on('delete', (service) => {
      this.#objects.delete(nameOf(service));
      this.#serve();
    });
    let isClosed = false;
    this.#closers.push(() => (isClosed = true));
    for (const informer of [pods, services]) {
      const start = (): void => {
        if (!isClosed) informer.start().catch(() => undefined);
      };
      informer.on('error', () => void setTimeout(start, 500));
      this.#closers.push(() => void informer.stop());
      await informer.start();
    }
  }

  /** A pod as it is now: started here when it is new and bound to one of the nodes. */
  #take(pod: V1Pod): void {
    const key = keyOf(pod);
    const known = this.#runners.get(key);
    if (known !== undefined && known.pod.metadata?.uid !== pod.metadata?.uid) this.#drop(known.pod);
    const runner = this.#runners.get(key);
    if (runner !== undefined) runner.update(pod);
    else if (this.#nodes.has(pod.spec?.nodeName ?? '')) this.#begin(key, pod);
    this.#serve();
  }

  #begin(key: string, pod: V1Pod): void {
    const { plane, entrypoint = () => [process.execPath, packageFile('bin/lockstep.js')] } =
      this.#options;
    const config = plane.config();
    const api = config.makeApiClient(CoreV1Api);
    this.#podCount += 1;
    const root = join(this.#folder, pod.metadata?.uid ?? '');
    const sources = sourcesOf(config, pod);
    const runner = new PodRunner(pod, {
      podIp: `127.${this.#octet}.${this.#podCount >> 8}.${this.#podCount & 255}`,
      hostIp: '127.0.0.1',
      root,
      sources,
      writer: createPodWriter(api, pod),
      entrypoint,
      platform: async (of) => ({
        ...this.#platform(of),
        ...(await accountVariables(plane, of, root, sources)),
      }),
    });
    this.#runners.set(key, runner);
    this.#history.push(runner);
    runner.update(pod);
    void runner.run();
  }

  #platform({ metadata }: V1Pod): Record<string, string> {
    const preload = new URL('name-preload.js', import.meta.url);
    preload.searchParams.set('names', this.#namesFile);
    preload.searchParams.set('namespace', metadata?.namespace ?? '');
    const { PATH = '' } = childEnvironment({});
    return { PATH, HOSTNAME: metadata?.name ?? '', NODE_OPTIONS: `--import=${preload.href}` };
  }

  #drop(pod: V1Pod): void {
    const runner = this.#runners.get(keyOf(pod));
    if (runner === undefined || runner.pod.metadata?.uid !== pod.metadata?.uid) return;
    runner.abandon();
    this.#runners.delete(keyOf(pod));
    this.#serve();
  }

  /** Pods whose node is lost keep their names: only the API knows that they are gone. */
  #serve(): void {
    const endpoints = [...this.#runners.values()].map(({ pod, podIp }) => ({ pod, ip: podIp }));
    this.#services.update([...this.#objects.values()], endpoints);
  }
}

/** A node to be played. */
export interface NodeSpec {
  readonly name: string;
  /** Added to cpu, memory and pods, such as `nvidia.com/gpu`. */
  readonly capacity?: Readonly<Record<string, string>>;
  readonly labels?: Readonly<Record<string, string>>;
}

const renewMs = 2_000;
/** What the Lease says; the node controller has a limit of its own. */
const leaseDurationSeconds = 10;

const merge = setHeaderOptions('Content-Type', PatchStrategy.StrategicMergePatch);

/** Registers a node and keeps it alive; returns how it falls silent, as without power. */
export async function registerNode(
  config: KubeConfig,
  spec: NodeSpec,
  logPort: number,
): Promise<() => void> {
  const core = config.makeApiClient(CoreV1Api);
  const leases = config.makeApiClient(CoordinationV1Api);
  const { name } = spec;
  const labels = {
    'kubernetes.io/hostname': name,
    'kubernetes.io/os': 'linux',
    'kubernetes.io/arch': 'amd64',
    ...spec.labels,
  };
  await core.createNode({ body: { metadata: { name, labels } } });
  await core.patchNodeStatus({ name, body: { status: statusOf(spec, logPort) } }, merge);
  const namespace = 'kube-node-lease';
  const leaseSpec = () => ({
    ...{ holderIdentity: name, leaseDurationSeconds },
    renewTime: new V1MicroTime(),
  });
  await leases.createNamespacedLease({
    namespace,
    body: { metadata: { name }, spec: leaseSpec() },
  });
  const renew = async (): Promise<void> => {
    const body = { spec: { renewTime: new V1MicroTime().toISOString() } };
    // One that fails is followed by the next.
    await leases.patchNamespacedLease({ name, namespace, body }, merge).catch(() => undefined);
  };
  const timer = setInterval(() => void renew(), renewMs);
  return () => clearInterval(timer);
}

function statusOf({ name, capacity }: NodeSpec, logPort: number): V1NodeStatus {
  const resources = { cpu: '64', memory: '256Gi', pods: '110', ...capacity };
  const now = new Date();
  return {
    capacity: resources,
    allocatable: resources,
    addresses: [
      { type: 'InternalIP', address: '127.0.0.1' },
      { type: 'Hostname', address: name },
    ],
    daemonEndpoints: { kubeletEndpoint: { Port: logPort } },
    conditions: [
      {
        ...{ type: 'Ready', status: 'True', reason: 'AgentReady', message: 'it is there' },
        ...{ lastHeartbeatTime: now, lastTransitionTime: now },
      },
    ],
  };
}
