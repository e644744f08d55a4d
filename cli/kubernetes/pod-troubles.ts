// Why a run's pods do not start, or how they have ended, in the server's own words: from the pods
// and from the warnings that the cluster has written about them and their Jobs.

import type { CoreV1Event, V1Pod } from '@kubernetes/client-node';
import { describeMemoryKill, memoryKillOf } from '../../shared/kubernetes/memory-kills.js';
import { ClusterError } from '../../shared/kubernetes/refusal.js';
import type { ClusterClient } from './client/cluster-client.js';
import { labelSelector, objectNames, type ClusterRun } from './names.js';

/** Something that ails a run's pods. */
export interface PodTrouble {
  /** The same for the same trouble, whatever pod has it and however often it comes. */
  readonly key: string;
  readonly text: string;
}

/** Why a pod does not run, if it does not; empty otherwise. */
export function whyNot(pod: V1Pod): string {
  const { status } = pod;
  const { waiting, terminated } = stateOf(pod);
  const unscheduled = status?.conditions?.find(
    ({ type, status: holds }) => type === 'PodScheduled' && holds === 'False',
  );
  const kill = memoryKillOf(pod);
  if (kill !== undefined) return describeMemoryKill(kill).replace(`${kill.pod} `, '');
  if (terminated !== undefined)
    return terminated.exitCode === 0 ? '' : `exit code ${terminated.exitCode}`;
  return waiting?.message ?? waiting?.reason ?? unscheduled?.message ?? status?.message ?? '';
}

function stateOf({ status }: V1Pod) {
  return status?.containerStatuses?.[0]?.state ?? {};
}

/** What is waited for in the first seconds of every pod. */
const usualReasons = ['ContainerCreating', 'PodInitializing'];

/** Alike for all pods of one Job, and for the tries of one pod. */
const causes: readonly (readonly [pattern: RegExp, cause: string])[] = [
  [/image/i, 'image'],
  [/CreateContainer/, 'container'],
];

function troubleOf(pod: V1Pod): PodTrouble | undefined {
  const { metadata, status } = pod;
  const name = metadata?.name ?? '';
  const kill = memoryKillOf(pod);
  if (kill !== undefined) return { key: `memory ${name}`, text: describeMemoryKill(kill) };
  const { waiting, terminated, running } = stateOf(pod);
  const reason = waiting?.reason ?? '';
  if (terminated !== undefined || running !== undefined || usualReasons.includes(reason))
    return undefined;
  const text = whyNot(pod);
  if (text === '' || status?.phase === 'Running') return undefined;
  const [, cause = reason] = causes.find(([pattern]) => pattern.test(reason)) ?? [];
  const component = metadata?.labels?.['app.kubernetes.io/component'] ?? '';
  return { key: `${component} ${cause}`, text: `${name} does not start: ${text}` };
}

/** Warnings that say why there is no pod, or why one is not made; others come and go. */
const lastingReasons = [
  ...['FailedCreate', 'FailedMount', 'FailedAttachVolume', 'FailedCreatePodSandBox'],
];

/** A warning that was not repeated for so long is over. */
const freshMs = 120_000;

function warningOf(event: CoreV1Event, nowMs: number): PodTrouble | undefined {
  const { involvedObject, reason = '', message = '', lastTimestamp, eventTime, series } = event;
  const time = series?.lastObservedTime ?? lastTimestamp ?? eventTime ?? undefined;
  const isFresh = nowMs - Number(new Date(time ?? event.metadata.creationTimestamp ?? 0)) < freshMs;
  if (!lastingReasons.includes(reason) || !isFresh) return undefined;
  const { kind = '', name = '' } = involvedObject;
  return { key: `${kind} ${reason} ${name}`, text: `${kind} ${name}: ${message.trim()}` };
}

/** What ails the pods, in the order of their names; each trouble once. */
export function troublesOf(
  pods: readonly V1Pod[],
  events: readonly CoreV1Event[],
  nowMs: number,
): PodTrouble[] {
  // A pod that runs by now has had its warnings before.
  const waiting = pods.filter((pod) => pod.status?.phase === 'Pending');
  const ailing = new Set(waiting.map(({ metadata }) => metadata?.name ?? ''));
  const ofRun = events.filter(({ involvedObject: { kind, name = '' } }) => {
    return kind === 'Job' || ailing.has(name);
  });
  const all = [...pods.map(troubleOf), ...ofRun.map((event) => warningOf(event, nowMs))].filter(
    (trouble) => trouble !== undefined,
  );
  const byKey = new Map<string, PodTrouble[]>();
  for (const trouble of all) byKey.set(trouble.key, [...(byKey.get(trouble.key) ?? []), trouble]);
  return [...byKey].map(([key, [first, ...more]]) => {
    const others = more.length > 0 ? ` (and ${more.length} more)` : '';
    return { key, text: `${first?.text ?? ''}${others}` };
  });
}

/** A run's pods and warnings, as far as the account may read them. */
export interface PodsAndEvents {
  readonly pods: readonly V1Pod[];
  readonly events: readonly CoreV1Event[];
}

/** Reads them; pods by name. */
export async function readPods(client: ClusterClient, run: ClusterRun): Promise<PodsAndEvents> {
  const { namespace, name } = run;
  const allowed = async <T>(items: Promise<{ items: readonly T[] }>): Promise<readonly T[]> => {
    try {
      return (await items).items;
    } catch (error) {
      if (error instanceof ClusterError && error.status === 403) return [];
      throw error;
    }
  };
  const pods = await allowed(
    client.list<V1Pod>('Pod', namespace, { labelSelector: labelSelector(name) }),
  );
  const { coordinator, worker } = objectNames(name);
  const jobs: readonly string[] = [coordinator, worker];
  const needsEvents = pods.length === 0 || pods.some(({ status }) => status?.phase === 'Pending');
  const warnings = needsEvents
    ? await allowed(client.list<CoreV1Event>('Event', namespace, { fieldSelector: 'type=Warning' }))
    : [];
  const events = warnings.filter(({ involvedObject: of }) =>
    of.kind === 'Job'
      ? jobs.includes(of.name ?? '')
      : pods.some(({ metadata }) => metadata?.name === of.name),
  );
  const nameOf = ({ metadata }: V1Pod): string => metadata?.name ?? '';
  return { pods: [...pods].sort((a, b) => (nameOf(a) < nameOf(b) ? -1 : 1)), events };
}
