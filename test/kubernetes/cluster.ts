// A whole cluster for a test file: a control plane and the agent that plays its nodes, and what is
// shown of it when a test fails.

import { ApiException, BatchV1Api, CoreV1Api, type V1Pod } from '@kubernetes/client-node';
import { until } from '../support/until.js';
import { startControlPlane, type ControlPlane } from './control-plane.js';
import { startNodeAgent, type NodeAgent, type NodeSpec } from './node-agent/node-agent.js';

export interface ClusterOptions {
  /** Two nodes of four GPUs each when not given. */
  readonly nodes?: readonly NodeSpec[];
  /** The command of an image; the `lockstep` of this checkout when not given. */
  readonly entrypoint?: (image: string) => readonly string[];
}

export interface Cluster {
  readonly plane: ControlPlane;
  readonly agent: NodeAgent;
  readonly core: CoreV1Api;
  readonly batch: BatchV1Api;
  /** Pods with that label selector, the oldest first. */
  pods(namespace: string, labelSelector: string): Promise<V1Pod[]>;
  /** Waits until a pod is as `isWanted` says, or (undefined) gone; returns it as it was seen. */
  podIs(
    namespace: string,
    name: string,
    isWanted: (pod: V1Pod | undefined) => boolean,
    timeoutMs?: number,
  ): Promise<V1Pod | undefined>;
  /** Cuts a node's power, waits until that is noticed, and says that it will not be back. */
  loseNode(name: string): Promise<void>;
  close(): Promise<void>;
}

const gpuNodes: readonly NodeSpec[] = ['node-a', 'node-b'].map((name) => ({
  ...{ name, capacity: { 'nvidia.com/gpu': '4' } },
}));

/** Labels of a namespace that takes only pods of the Pod Security profile "restricted". */
export const restricted = { 'pod-security.kubernetes.io/enforce': 'restricted' };

/** Starts both; rejects, with nothing left behind, when one does not start. */
export async function startCluster(options: ClusterOptions = {}): Promise<Cluster> {
  const { nodes = gpuNodes, ...rest } = options;
  const plane = await startControlPlane();
  let agent: NodeAgent;
  try {
    agent = await startNodeAgent({ plane, nodes, ...rest });
  } catch (error) {
    await plane.close();
    throw error;
  }
  const config = plane.config();
  const core = config.makeApiClient(CoreV1Api);
  const readPod = async (namespace: string, name: string): Promise<V1Pod | undefined> => {
    try {
      return await core.readNamespacedPod({ namespace, name });
    } catch (error) {
      if (error instanceof ApiException && error.code === 404) return undefined;
      throw error;
    }
  };
  return {
    ...{ plane, agent, core, batch: config.makeApiClient(BatchV1Api) },
    async pods(namespace, labelSelector) {
      const { items } = await core.listNamespacedPod({ namespace, labelSelector });
      const age = ({ metadata }: V1Pod): number => Number(metadata?.creationTimestamp ?? 0);
      return items.sort((a, b) => age(a) - age(b));
    },
    async podIs(namespace, name, isWanted, timeoutMs) {
      let seen: V1Pod | undefined;
      const isSo = async (): Promise<boolean> => isWanted((seen = await readPod(namespace, name)));
      await until(isSo, `pod ${name} is as wanted`, timeoutMs);
      return seen;
    },
    async loseNode(name) {
      agent.loseNode(name);
      const isLost = ['--for=condition=Ready=Unknown', `node/${name}`, '--timeout=60s'];
      await plane.ask(['wait', ...isLost]);
      await plane.ask(['taint', 'node', name, 'node.kubernetes.io/out-of-service=lost:NoExecute']);
    },
    async close() {
      agent.close();
      await plane.close();
    },
  };
}

/** For `afterEach`: says what the cluster looked like when the test failed. */
export async function tellFailure(
  test: unknown,
  { plane, agent }: Cluster,
  say: (text: string) => void = (text) => void process.stdout.write(text),
): Promise<void> {
  const hasPassed = (test as { readonly passed?: boolean }).passed;
  if (hasPassed === false) say(`${agent.describe()}${await plane.describe()}\n`);
}
