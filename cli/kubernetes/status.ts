// `lockstep status` of a run in a cluster: its Jobs, its pods, and what its leader says. The pods
// are left out where the account may not read them.

import type { V1Lease, V1Pod } from '@kubernetes/client-node';
import { readWantedWorkers } from '../../shared/kubernetes/leader-status.js';
import { formatDuration } from '../progress.js';
import type { ClusterClient } from './client/cluster-client.js';
import { formatClusterRun, objectNames, type ClusterRun } from './names.js';
import { readPods, troublesOf, whyNot } from './pod-troubles.js';
import { refuseGoing, requireRun, runStage, type RunStage, type RunState } from './run-state.js';

export interface ClusterStatus {
  readonly run: RunState;
  readonly stage: RunStage;
  readonly lease: V1Lease | undefined;
  readonly pods: readonly V1Pod[];
  /** Why pods do not start, or ran out of memory. */
  readonly troubles: readonly string[];
}

/** Reads all that there is to know. */
export async function readClusterStatus(
  client: ClusterClient,
  of: ClusterRun,
): Promise<ClusterStatus> {
  const run = await requireRun(client, of);
  refuseGoing(run);
  const { namespace, name } = of;
  const lease = await client.get<V1Lease>('Lease', namespace, objectNames(name).lease);
  const { coordinator, worker } = run;
  const stage = runStage({ coordinator, worker, lease });
  const { pods, events } = await readPods(client, of);
  const isOver = stage.kind === 'finished' || stage.kind === 'gone';
  const troubles = isOver ? [] : troublesOf(pods, events, Date.now()).map(({ text }) => text);
  return { run, stage, lease, pods, troubles };
}

const nameOf = ({ metadata }: V1Pod): string => metadata?.name ?? '';

/** For a script: the names that all JSON of Lockstep has. */
export function clusterStatusJson(status: ClusterStatus): object {
  const { run, stage, lease, pods, troubles } = status;
  const { progress } = stage;
  return {
    run: formatClusterRun(run.parameters),
    url: run.parameters.runUrl,
    stage: stage.kind,
    reason: stage.reason,
    ...(progress === undefined
      ? { step: 0, until: null }
      : {
          ...{ step: progress.step, until: progress.until, last_step: progress.lastStep },
          ...{ checkpoint: progress.checkpoint, phase: progress.phase, term: progress.term },
          ...{ images_per_s: progress.imagesPerSecond, eta_s: progress.etaSeconds },
          ...{ world: progress.world, sha256: progress.result?.sha256 ?? null },
        }),
    target: readWantedWorkers(lease?.metadata?.annotations) ?? run.parameters.workers,
    leader: lease?.spec?.holderIdentity || null,
    lease_transitions: lease?.spec?.leaseTransitions ?? 0,
    workers: progress?.workers ?? [],
    troubles,
    pods: pods.map(podJson),
  };
}

function podJson(pod: V1Pod): object {
  const [container] = pod.status?.containerStatuses ?? [];
  return {
    pod: nameOf(pod),
    component: pod.metadata?.labels?.['app.kubernetes.io/component'] ?? '',
    phase: pod.status?.phase ?? '',
    ready: container?.ready ?? false,
    exit_code: container?.state?.terminated?.exitCode ?? null,
    node: pod.spec?.nodeName ?? null,
    reason: whyNot(pod),
  };
}

/** What is said above the tables. */
export function clusterStatusLines({ run, stage, lease, troubles }: ClusterStatus): string[] {
  const { progress, kind, reason } = stage;
  const target = readWantedWorkers(lease?.metadata?.annotations) ?? run.parameters.workers;
  const lines = [
    `run ${formatClusterRun(run.parameters)} in ${run.parameters.runUrl}`,
    reason === '' || reason === kind ? kind : `${kind}: ${reason}`,
    ...troubles,
  ];
  if (progress === undefined) return [...lines, `workers: none of ${target} has trained yet`];
  const { step, until, imagesPerSecond, etaSeconds, checkpoint, term, result } = progress;
  const left = etaSeconds > 0 && kind === 'running' ? `, ${formatDuration(etaSeconds)} left` : '';
  const rate = imagesPerSecond > 0 ? `, ${imagesPerSecond} images/s` : '';
  return [
    ...lines,
    `step ${step} of ${until}${rate}${left}`,
    `world ${progress.world} of ${target} workers`,
    `checkpoint ${checkpoint === 0 ? 'none yet' : `step ${checkpoint}`}`,
    `coordinator ${lease?.spec?.holderIdentity || 'none leads'}, term ${term}`,
    ...(result?.sha256 ? [`parameters sha256 ${result.sha256}`] : []),
  ];
}

/** A row for each pod, under a heading; none without pods. */
export function podRows({ pods }: ClusterStatus): string[][] {
  if (pods.length === 0) return [];
  const rows = pods.map((pod) => [
    nameOf(pod),
    pod.status?.phase ?? '',
    pod.spec?.nodeName ?? '',
    whyNot(pod).slice(0, 80),
  ]);
  return [['pod', 'phase', 'node', ''], ...rows];
}

/** A row for each worker that the leader knows, under a heading. */
export function memberRows({ stage }: ClusterStatus): (string | number)[][] {
  const { workers = [], moreWorkers = 0 } = stage.progress ?? {};
  if (workers.length === 0) return [];
  const rows = workers.map(({ id, rank, state, step, host }) => [
    rank ?? '-',
    id,
    state,
    step,
    host,
  ]);
  const more = moreWorkers > 0 ? [['-', `and ${moreWorkers} more`, '', 0, '']] : [];
  return [['rank', 'worker', 'stage', 'step', 'host'], ...rows, ...more];
}
