// Which of a run's coordinator pods leads.

import type { V1Lease, V1Pod } from '@kubernetes/client-node';
import { ClusterError } from '../../shared/kubernetes/refusal.js';
import type { ClusterClient } from './client/cluster-client.js';
import { labelSelector, objectNames, type ClusterRun } from './names.js';

/**
 * The pod that holds the run's Lease; where the Lease names no pod of the run, the coordinator that
 * is ready, since only a leader listens. Undefined while none leads. Where pods may not be listed,
 * the Lease's word is taken.
 */
export async function findLeaderPod(
  client: ClusterClient,
  { namespace, name }: ClusterRun,
): Promise<string | undefined> {
  const lease = await client.get<V1Lease>('Lease', namespace, objectNames(name).lease);
  // "HOST_UUID"; a pod's host name is its own name.
  const [holder = ''] = (lease?.spec?.holderIdentity ?? '').split('_');
  const pods = await coordinatorsOf(client, { namespace, name });
  if (pods === undefined) return holder === '' ? undefined : holder;
  const leader = pods.find((pod) => nameOf(pod) === holder) ?? pods.find(isReady);
  return leader === undefined ? undefined : nameOf(leader);
}

async function coordinatorsOf(
  client: ClusterClient,
  { namespace, name }: ClusterRun,
): Promise<readonly V1Pod[] | undefined> {
  try {
    const selection = { labelSelector: labelSelector(name, 'coordinator') };
    const { items } = await client.list<V1Pod>('Pod', namespace, selection);
    return items.filter(({ status }) => status?.phase === 'Running');
  } catch (error) {
    if (error instanceof ClusterError && error.status === 403) return undefined;
    throw error;
  }
}

const nameOf = ({ metadata }: V1Pod): string => metadata?.name ?? '';

function isReady({ status }: V1Pod): boolean {
  return (
    status?.conditions?.some(({ type, status: is }) => type === 'Ready' && is === 'True') ?? false
  );
}
