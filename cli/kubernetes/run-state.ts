// A run as it is in the cluster: its root with what it was launched with, and how its two Jobs
// are. Reads only.

import type { V1ConfigMap, V1Job, V1JobCondition } from '@kubernetes/client-node';
import { exitCodes } from '../../shared/exit-codes.js';
import { OperatorError } from '../../shared/problems.js';
import { parseSpec } from '../../shared/spec/load.js';
import type { RunSpec } from '../../shared/spec/schema.js';
import { CommandFailed } from '../failure.js';
import type { ClusterClient } from './client/cluster-client.js';
import { launchParametersSchema, type LaunchParameters } from './launch-parameters.js';
import { formatClusterRun, objectNames, rootKeys, type ClusterRun } from './names.js';

/** A run that is there. */
export interface RunState {
  readonly root: V1ConfigMap;
  readonly uid: string;
  readonly parameters: LaunchParameters;
  readonly specText: string;
  readonly spec: RunSpec;
  readonly coordinator: V1Job | undefined;
  readonly worker: V1Job | undefined;
}

/** How a Job is; `suspended`: a queue has not let it start yet. */
export type JobStage = 'missing' | 'suspended' | 'active' | 'complete' | 'failed' | 'going';

/** The run, or undefined where there is none. Throws for a ConfigMap that is not ours. */
export async function findRun(
  client: ClusterClient,
  run: ClusterRun,
): Promise<RunState | undefined> {
  const { namespace, name } = run;
  const names = objectNames(name);
  const root = await client.get<V1ConfigMap>('ConfigMap', namespace, names.root);
  if (root === undefined) return undefined;
  const [coordinator, worker] = await Promise.all([
    client.get<V1Job>('Job', namespace, names.coordinator),
    client.get<V1Job>('Job', namespace, names.worker),
  ]);
  return { ...readRoot(run, root), coordinator, worker };
}

/** As `findRun`; an OperatorError where there is none. */
export async function requireRun(client: ClusterClient, run: ClusterRun): Promise<RunState> {
  const found = await findRun(client, run);
  if (found !== undefined) return found;
  throw new OperatorError('there is no such run in the cluster', [
    {
      key: 'RUN',
      given: formatClusterRun(run),
      allowed: `a run that was launched, at ${client.server}`,
      hint: 'lockstep launch with the same --run goes on from what is in the object store',
    },
  ]);
}

/** Throws while a run is being cancelled. */
export function refuseGoing({ root, parameters }: RunState): void {
  if (root.metadata?.deletionTimestamp === undefined) return;
  throw new CommandFailed(
    `${formatClusterRun(parameters)} is being cancelled`,
    exitCodes.failed,
    'Wait until nothing is left of it, and launch it again.',
  );
}

function readRoot({ namespace, name }: ClusterRun, root: V1ConfigMap) {
  const run = { namespace, name };
  const { data = {}, metadata } = root;
  const place = `${formatClusterRun(run)}, ConfigMap ${metadata?.name ?? ''}`;
  const specText = data[rootKeys.spec] ?? '';
  const { spec } = parseSpec(specText, `${rootKeys.spec} of ${place}`);
  const parameters = parseParameters(data[rootKeys.launch] ?? '', place);
  // A kustomization does not know the namespace it is applied to.
  return { root, uid: metadata?.uid ?? '', specText, spec, parameters: { ...parameters, ...run } };
}

function parseParameters(text: string, place: string): LaunchParameters {
  try {
    return launchParametersSchema.parse(JSON.parse(text));
  } catch {
    throw new OperatorError(`${place} is no run of Lockstep's`, [
      { key: rootKeys.launch, given: text, allowed: 'what lockstep launch writes there' },
    ]);
  }
}

/** How a Job is. */
export function jobStage(job: V1Job | undefined): JobStage {
  if (job === undefined) return 'missing';
  if (job.metadata?.deletionTimestamp !== undefined) return 'going';
  if (conditionOf(job, 'Complete') !== undefined) return 'complete';
  if (conditionOf(job, 'Failed') !== undefined) return 'failed';
  return job.spec?.suspend === true ? 'suspended' : 'active';
}

/** The condition of a type, if it holds. */
export function conditionOf(job: V1Job | undefined, type: string): V1JobCondition | undefined {
  return job?.status?.conditions?.find((one) => one.type === type && one.status === 'True');
}

/** Why a Job failed, in the cluster's words; empty if it did not. */
export function failureOf(job: V1Job | undefined): string {
  const { reason = '', message = '' } = conditionOf(job, 'Failed') ?? {};
  return [reason, message].filter((word) => word !== '').join(': ');
}
