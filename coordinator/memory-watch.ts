// In a cluster, looks at the run's own workers' pods for those that ran out of memory, which
// nobody else can know: a worker that is killed says nothing, and its successor knows nothing of
// it. Reports each, and ends the run where trying again is of no use.

import { CoreV1Api, type KubeConfig, type V1Pod } from '@kubernetes/client-node';
import { exitCodes } from '../shared/exit-codes.js';
import { apiConfiguration, loadCluster, requestError } from '../shared/kubernetes/api-server.js';
import { parseLeaseUrl } from '../shared/kubernetes/lease-place.js';
import {
  describeMemoryKill,
  hopelessMemory,
  memoryKillOf,
} from '../shared/kubernetes/memory-kills.js';
import { ClusterError } from '../shared/kubernetes/refusal.js';
import type { CoordinatorEvent } from './core/state.js';

const lookMs = 10_000;
const requestMs = 5_000;
/** Pods of one answer: those of a run whose workers fail all the time are still fewer. */
const mostPods = 2_000;

export interface MemoryWatchOptions {
  /** k8s://NAMESPACE/NAME, whose name is the run's. */
  readonly leaseUrl: string;
  readonly dispatch: (event: CoordinatorEvent) => void;
  readonly onNotice: (text: string) => void;
  /** Of the cluster; that of this process when not given. */
  readonly config?: KubeConfig;
  readonly everyMs?: number;
}

/** Looks now and then until it is ended by what it returns; also ends where it is not allowed. */
export function watchMemory(options: MemoryWatchOptions): () => void {
  const { leaseUrl, dispatch, onNotice, everyMs = lookMs } = options;
  const { namespace, name } = parseLeaseUrl(leaseUrl);
  const config = options.config ?? loadCluster({});
  const api = new CoreV1Api(apiConfiguration(config, requestMs));
  const labelSelector = `app.kubernetes.io/instance=${name},app.kubernetes.io/component=worker`;
  let timer: NodeJS.Timeout | undefined;
  let isOver = false;
  /** Pods whose end was reported, or was long ago: those of the newest answer only. */
  let known: ReadonlySet<string> | undefined;
  const take = (pods: readonly V1Pod[]): void => {
    const kills = pods.flatMap((pod) => memoryKillOf(pod) ?? []);
    if (known !== undefined)
      for (const kill of kills.filter(({ pod }) => known?.has(pod) !== true))
        onNotice(describeMemoryKill(kill));
    known = new Set(kills.map(({ pod }) => pod));
    const reason = hopelessMemory(pods);
    if (reason === undefined) return;
    isOver = true;
    dispatch({ kind: 'failAsked', ending: { exitCode: exitCodes.configuration, reason } });
  };
  const look = async (): Promise<void> => {
    try {
      const { items } = await api.listNamespacedPod({ namespace, labelSelector, limit: mostPods });
      if (!isOver) take(items);
    } catch (failure) {
      const error = requestError(failure, requestMs);
      // Where the Role is an older one, or the operator's own: the run goes on without.
      if (error instanceof ClusterError && error.status === 403) isOver = true;
    }
    if (!isOver) timer = setTimeout(() => void look(), everyMs).unref();
  };
  void look();
  return () => {
    isOver = true;
    clearTimeout(timer);
  };
}
