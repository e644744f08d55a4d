// A node as the cluster sees it: the Node object with its capacity, a Ready condition, and the
// Lease that is renewed for as long as the node is there.

import {
  CoordinationV1Api,
  CoreV1Api,
  PatchStrategy,
  setHeaderOptions,
  V1MicroTime,
  type KubeConfig,
  type V1NodeStatus,
} from '@kubernetes/client-node';

/** A node to be played. */
export interface NodeSpec {
  readonly name: string;
  /** Added to cpu, memory and pods, such as `nvidia.com/gpu`. */
  readonly capacity?: Readonly<Record<string, string>>;
  readonly labels?: Readonly<Record<string, string>>;
}

export interface LiveNode {
  /** Is silent from now on, as a node whose power is gone. */
  fallSilent(): void;
}

const renewMs = 2_000;
/** What the Lease says; the node controller has a limit of its own. */
const leaseDurationSeconds = 10;

const merge = setHeaderOptions('Content-Type', PatchStrategy.StrategicMergePatch);

/** Registers a node, and says that it is there until it falls silent. */
export async function registerNode(
  config: KubeConfig,
  spec: NodeSpec,
  logPort: number,
): Promise<LiveNode> {
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
  return { fallSilent: () => clearInterval(timer) };
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
