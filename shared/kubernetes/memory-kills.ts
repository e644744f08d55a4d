// Pods that the kernel ended because they needed more memory than they may have: which ones, in
// words for a person, and when trying again is of no use. Pure.

import type { V1ContainerStatus, V1Pod } from '@kubernetes/client-node';

/** A pod of an index that ran out of memory. */
export interface MemoryKill {
  readonly pod: string;
  /** Completion index of its Job; empty for a pod without one. */
  readonly index: string;
  /** What it may have, as the pod says it: "4Gi". */
  readonly limit: string;
}

/** So many pods of one index in a row, each soon after its start, are no accident. */
export const mostMemoryKills = 3;

/** A pod that has lived longer has done something in its life. */
const shortLifeMs = 3_600_000;

const indexLabel = 'batch.kubernetes.io/job-completion-index';

/** The kill that ended a pod, if one did. */
export function memoryKillOf(pod: V1Pod): MemoryKill | undefined {
  if (terminationOf(pod)?.reason !== 'OOMKilled') return undefined;
  const { name = '', labels = {} } = pod.metadata ?? {};
  const limit = pod.spec?.containers[0]?.resources?.limits?.['memory'] ?? '';
  return { pod: name, index: labels[indexLabel] ?? '', limit };
}

/** How a pod's container ended; one that was restarted in place also by its life before. */
function terminationOf({ status }: V1Pod) {
  const [container]: V1ContainerStatus[] = status?.containerStatuses ?? [];
  return container?.state?.terminated ?? container?.lastState?.terminated;
}

/** "faces-worker-1-x ran out of memory: ..." */
export function describeMemoryKill({ pod, limit, index }: MemoryKill): string {
  const flag = index === '' ? '' : ` (${flagOfWorkers})`;
  return `${pod} ran out of memory: ${allowance(limit)}${flag}`;
}

const flagOfWorkers = '--memory-per-worker';

function allowance(limit: string): string {
  return limit === '' ? 'its node has no more' : `it may have ${limit}`;
}

/**
 * Why the run can not go on, if the newest pods of an index that have ended all ran out of memory,
 * `mostMemoryKills` of them, each within an hour of its start.
 */
export function hopelessMemory(pods: readonly V1Pod[]): string | undefined {
  const byIndex = new Map<string, V1Pod[]>();
  for (const pod of pods) {
    const index = pod.metadata?.labels?.[indexLabel];
    if (index === undefined || terminationOf(pod) === undefined) continue;
    byIndex.set(index, [...(byIndex.get(index) ?? []), pod]);
  }
  for (const [index, ended] of [...byIndex].sort(([a], [b]) => Number(a) - Number(b))) {
    const newest = ended.sort((a, b) => createdMs(b) - createdMs(a)).slice(0, mostMemoryKills);
    const kills = newest.filter(diedSoon).flatMap((pod) => memoryKillOf(pod) ?? []);
    if (kills.length < mostMemoryKills) continue;
    const times = `${mostMemoryKills} times in a row`;
    const most = allowance(kills[0]?.limit ?? '');
    return `worker-${index} ran out of memory ${times}: ${most}; ${flagOfWorkers} gives it more`;
  }
  return undefined;
}

function createdMs({ metadata }: V1Pod): number {
  return Number(new Date(metadata?.creationTimestamp ?? 0));
}

function diedSoon(pod: V1Pod): boolean {
  const { startedAt, finishedAt } = terminationOf(pod) ?? {};
  const lifeMs = Number(new Date(finishedAt ?? 0)) - Number(new Date(startedAt ?? 0));
  return lifeMs < shortLifeMs;
}
