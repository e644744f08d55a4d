// Takes a run out of the cluster and waits until nothing is left of it. What it has stored in the
// object store stays: launched again, it goes on from there.

import type { KubernetesObject, V1Pod } from '@kubernetes/client-node';
import { setTimeout as sleep } from 'node:timers/promises';
import { exitCodes } from '../../shared/exit-codes.js';
import { OperatorError } from '../../shared/problems.js';
import { CommandFailed } from '../failure.js';
import { ClusterError } from '../../shared/kubernetes/refusal.js';
import type { ClusterClient, Kind } from './client/cluster-client.js';
import {
  formatClusterRun,
  labelSelector,
  objectNames,
  ownedObjects,
  type ClusterRun,
} from './names.js';
import { drainTimeoutS, gracePeriodS } from './objects/pod.js';

const lookMs = 1000;

/** Cancels; calls `onLeft` with what there still is, at each change. */
export async function cancelRun(
  client: ClusterClient,
  run: ClusterRun,
  onLeft: (left: readonly string[]) => void = () => undefined,
): Promise<void> {
  const drainUntilMs = performance.now() + 1000 * (drainTimeoutS + 30);
  const untilMs = drainUntilMs + 1000 * (gracePeriodS + 60);
  let before = '';
  for (let round = 1; ; round++) {
    const found = await findLeft(client, run);
    if (found.length === 0 && round === 1)
      throw new OperatorError('there is no such run in the cluster', [
        { key: 'RUN', given: formatClusterRun(run), allowed: 'a run that was launched' },
      ]);
    if (found.length === 0) return;
    const left = found.map(({ kind, name }) => `${kind} ${name}`);
    if (left.join() !== before) onLeft(left);
    before = left.join();
    if (performance.now() > untilMs)
      throw new CommandFailed(
        `still there: ${left.join(', ')}`,
        exitCodes.failed,
        'The cluster was told to delete them. A pod on a lost node stays until that is removed.',
      );
    if (!(await letWorkersLeave(client, run, found, drainUntilMs)))
      await removeRoots(client, run, found);
    await sleep(lookMs);
  }
}

interface Left {
  readonly kind: Kind;
  readonly name: string;
  readonly object: KubernetesObject;
}

async function findLeft(client: ClusterClient, run: ClusterRun): Promise<Left[]> {
  const { namespace, name } = run;
  const pods = await client.list<V1Pod>('Pod', namespace, { labelSelector: labelSelector(name) });
  const wanted = [['ConfigMap', objectNames(name).root], ...ownedObjects(name)] as const;
  const objects = await Promise.all(
    wanted.map(async ([kind, object]) => ({
      ...{ kind, name: object },
      object: await client.get<KubernetesObject>(kind, namespace, object),
    })),
  );
  return [
    ...objects.filter((one): one is Left => one.object !== undefined && isOurs(one.object, name)),
    ...pods.items.map((object): Left => {
      return { kind: 'Pod', name: object.metadata?.name ?? '', object };
    }),
  ];
}

/**
 * Workers first: while there is a coordinator they leave in order, at once, and store the state
 * that only they have. Without one each would wait for it. True: there are still some.
 */
async function letWorkersLeave(
  client: ClusterClient,
  { namespace, name }: ClusterRun,
  found: readonly Left[],
  untilMs: number,
): Promise<boolean> {
  const { worker } = objectNames(name);
  const job = found.find((one) => one.kind === 'Job' && one.name === worker);
  if (job !== undefined && job.object.metadata?.deletionTimestamp === undefined)
    await client.remove('Job', namespace, worker, job.object.metadata?.uid);
  const isWorker = ({ kind, object }: Left): boolean =>
    kind === 'Pod' && object.metadata?.labels?.['app.kubernetes.io/component'] === 'worker';
  return performance.now() < untilMs && found.some(isWorker);
}

/** Another program's object of the same name is none of the run's. */
function isOurs({ metadata }: KubernetesObject, run: string): boolean {
  const { labels = {} } = metadata ?? {};
  const isRuns = labels['app.kubernetes.io/instance'] === run;
  return isRuns && labels['app.kubernetes.io/managed-by'] === 'lockstep';
}

/**
 * Deletes the root, which takes along what it owns; and what nobody owns: objects that kubectl
 * applied, or a Lease that a coordinator made once more while it was ending.
 */
async function removeRoots(
  client: ClusterClient,
  { namespace }: ClusterRun,
  found: readonly Left[],
): Promise<void> {
  const roots = found.filter(({ kind, object: { metadata } }) => {
    const isOwned = (metadata?.ownerReferences ?? []).length > 0;
    return kind !== 'Pod' && !isOwned && metadata?.deletionTimestamp === undefined;
  });
  for (const { kind, name, object } of roots) {
    try {
      await client.remove(kind, namespace, name, object.metadata?.uid);
    } catch (error) {
      // It has been replaced since: the next look finds that.
      if (!(error instanceof ClusterError) || error.status !== 409) throw error;
    }
  }
}
