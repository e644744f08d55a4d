// The logs of a run's pods. Followed, it also shows pods that come later, until the run has
// finished or the operator has seen enough.

import type { V1Pod } from '@kubernetes/client-node';
import type { ClusterClient } from './client/cluster-client.js';
import { podLog, watchObjects, type WatchTarget } from './client/streams.js';
import { labelSelector, type ClusterRun, type Component } from './names.js';

export interface LogsRequest {
  readonly component: Component;
  /** Completion index of one worker; undefined: all. */
  readonly index?: number | undefined;
  readonly follow: boolean;
  readonly tail?: number | undefined;
  readonly signal: AbortSignal;
}

/** Calls `onLine` for each line; answers of how many pods there were any. */
export async function showLogs(
  client: ClusterClient,
  { namespace, name }: ClusterRun,
  request: LogsRequest,
  onLine: (pod: string, line: string) => void,
): Promise<number> {
  const { component, index, follow, tail, signal } = request;
  const ofIndex = index === undefined ? '' : `,batch.kubernetes.io/job-completion-index=${index}`;
  const selection = { labelSelector: labelSelector(name, component) + ofIndex };
  const show = async ({ metadata }: V1Pod): Promise<void> => {
    const pod = metadata?.name ?? '';
    const log = { namespace, pod, container: component, follow, tail, signal };
    for await (const line of podLog(client, log)) onLine(pod, line);
  };
  if (follow) return followPods(client, { kind: 'Pod', namespace, selection }, show, signal);
  const { items } = await client.list<V1Pod>('Pod', namespace, selection);
  const createdMs = ({ metadata }: V1Pod) => Number(new Date(metadata?.creationTimestamp ?? 0));
  for (const pod of [...items].sort((a, b) => createdMs(a) - createdMs(b))) await show(pod);
  return items.length;
}

/** Ends when a pod has succeeded, for then the run has ended, and all that were shown have. */
async function followPods(
  client: ClusterClient,
  target: WatchTarget,
  show: (pod: V1Pod) => Promise<void>,
  signal: AbortSignal,
): Promise<number> {
  const ended = new AbortController();
  const shown = new Map<string, Promise<void>>();
  const both = AbortSignal.any([ended.signal, signal]);
  for await (const pods of watchObjects<V1Pod>(client, target, both)) {
    for (const [name, pod] of pods)
      if (!shown.has(name) && pod.status?.phase !== 'Pending') shown.set(name, show(pod));
    const phases = [...pods.values()].map(({ status }) => status?.phase ?? '');
    const isOver = phases.every((phase) => phase === 'Succeeded' || phase === 'Failed');
    if (isOver && phases.includes('Succeeded')) ended.abort();
  }
  await Promise.all(shown.values());
  return shown.size;
}
