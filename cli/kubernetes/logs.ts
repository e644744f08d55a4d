// The logs of a run's pods. Followed, it also shows pods that come later, until the run has
// finished or the operator has seen enough.

import type { V1Pod } from '@kubernetes/client-node';
import type { ClusterClient } from './client/cluster-client.js';
import { podLog, watchObjects } from './client/streams.js';
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
  run: ClusterRun,
  request: LogsRequest,
  onLine: (pod: string, line: string) => void,
): Promise<number> {
  const { namespace } = run;
  const selection = { labelSelector: selectorOf(run, request) };
  const { items } = await client.list<V1Pod>('Pod', namespace, selection);
  const show = (pod: V1Pod, signal: AbortSignal): Promise<void> =>
    showPod(client, pod, { ...request, signal }, onLine);
  if (request.follow) return followPods(client, { namespace, selection }, show, request.signal);
  for (const pod of [...items].sort(byAge)) await show(pod, request.signal);
  return items.length;
}

const byAge = (a: V1Pod, b: V1Pod): number =>
  Number(new Date(a.metadata?.creationTimestamp ?? 0)) -
  Number(new Date(b.metadata?.creationTimestamp ?? 0));

function selectorOf({ name }: ClusterRun, { component, index }: LogsRequest): string {
  const labels = labelSelector(name, component);
  return index === undefined
    ? labels
    : `${labels},batch.kubernetes.io/job-completion-index=${index}`;
}

async function showPod(
  client: ClusterClient,
  { metadata }: V1Pod,
  { component: container, follow, tail, signal }: LogsRequest,
  onLine: (pod: string, line: string) => void,
): Promise<void> {
  const { namespace = '', name: pod = '' } = metadata ?? {};
  const request = { namespace, pod, container, follow, tail, signal };
  for await (const line of podLog(client, request)) onLine(pod, line);
}

/** Ends when a pod has succeeded, for then the run has ended, and all that were shown have. */
async function followPods(
  client: ClusterClient,
  target: { readonly namespace: string; readonly selection: { readonly labelSelector: string } },
  show: (pod: V1Pod, signal: AbortSignal) => Promise<void>,
  signal: AbortSignal,
): Promise<number> {
  const ended = new AbortController();
  const shown = new Map<string, Promise<void>>();
  const both = AbortSignal.any([ended.signal, signal]);
  for await (const pods of watchObjects<V1Pod>(client, { kind: 'Pod', ...target }, both)) {
    for (const [name, pod] of pods)
      if (!shown.has(name) && pod.status?.phase !== 'Pending') shown.set(name, show(pod, signal));
    const phases = [...pods.values()].map(({ status }) => status?.phase ?? '');
    const isOver = phases.every((phase) => phase === 'Succeeded' || phase === 'Failed');
    if (isOver && phases.includes('Succeeded')) ended.abort();
  }
  await Promise.all(shown.values());
  return shown.size;
}
