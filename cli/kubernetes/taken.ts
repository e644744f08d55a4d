// Before a run is created: are its names free, and does no other run write to its folder?

import type { V1ConfigMap } from '@kubernetes/client-node';
import { OperatorError, type Problem } from '../../shared/problems.js';
import type { ClusterClient } from './client/cluster-client.js';
import type { Kind } from './client/resources.js';
import type { LaunchParameters } from './launch-parameters.js';
import { formatClusterRun, objectNames, rootKeys, type ClusterRun } from './names.js';

/** All objects of a run but its root, whatever it was launched with. */
export function objectsOf(name: string): readonly (readonly [kind: Kind, name: string])[] {
  const { coordinator, worker, workers, lease } = objectNames(name);
  return [
    ['Job', coordinator],
    ['Job', worker],
    ['Service', coordinator],
    ['Service', workers],
    ['ServiceAccount', coordinator],
    ['ServiceAccount', worker],
    ['Role', coordinator],
    ['RoleBinding', coordinator],
    ['NetworkPolicy', coordinator],
    ['NetworkPolicy', worker],
    ['PodDisruptionBudget', worker],
    ['Lease', lease],
  ];
}

/** Throws where an object would be taken over, or a folder be written by two runs. */
export async function refuseTaken(client: ClusterClient, wanted: LaunchParameters): Promise<void> {
  const problems = [...(await takenNames(client, wanted)), ...(await sharedFolder(client, wanted))];
  if (problems.length > 0) throw new OperatorError('the run can not be launched', problems);
}

/** Objects of ours without a root are what an unfinished cancel has left. */
async function takenNames(client: ClusterClient, run: ClusterRun): Promise<Problem[]> {
  const { namespace, name } = run;
  const found = await Promise.all(
    objectsOf(name).map(async ([kind, object]) => ({
      kind,
      object,
      there: await client.get(kind, namespace, object),
    })),
  );
  return found
    .filter(({ there }) => there !== undefined)
    .map(({ kind, object, there }) => {
      const isOurs = there?.metadata?.labels?.['app.kubernetes.io/managed-by'] === 'lockstep';
      const left = `left over: lockstep cancel ${formatClusterRun(run)}`;
      return {
        key: '--name',
        given: name,
        allowed: `a name for which there is no ${kind} ${object} yet`,
        hint: isOurs ? left : "it is not Lockstep's",
      };
    });
}

/** Two coordinators with a Lease each would take the run from each other again and again. */
async function sharedFolder(client: ClusterClient, wanted: LaunchParameters): Promise<Problem[]> {
  const labelSelector = 'app.kubernetes.io/managed-by=lockstep';
  const { namespace, runUrl } = wanted;
  const { items } = await client.list<V1ConfigMap>('ConfigMap', namespace, { labelSelector });
  return items
    .filter((root) => folderOf(root) === runUrl)
    .map((root) => ({
      key: '--run',
      given: runUrl,
      allowed: 'a folder of its own',
      hint: `${root.metadata?.name ?? ''} in ${namespace} is of a run that writes there`,
    }));
}

function folderOf({ data = {} }: V1ConfigMap): unknown {
  try {
    return (JSON.parse(data[rootKeys.launch] ?? '') as { runUrl?: unknown }).runUrl;
  } catch {
    return undefined;
  }
}
