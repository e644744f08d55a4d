// A run as it is in the cluster: its root with what it was launched with, its two Jobs, and the
// stage that follows from them and from its leader's words.

import type { V1ConfigMap, V1Job, V1JobCondition, V1Lease } from '@kubernetes/client-node';
import { exitCodes, type ExitCode } from '../../shared/exit-codes.js';
import { readLeaderStatus, type LeaderStatus } from '../../shared/kubernetes/leader-status.js';
import { OperatorError } from '../../shared/problems.js';
import { parseSpec } from '../../shared/spec/load.js';
import type { RunSpec } from '../../shared/spec/schema.js';
import { CommandFailed } from '../failure.js';
import type { ClusterClient } from './client/cluster-client.js';
import { launchParametersSchema, type LaunchParameters } from './launch-parameters.js';

import { formatClusterRun, objectNames, rootKeys, type ClusterRun } from './names.js';
import { parseJson } from '../../shared/bounded-json.js';

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
    return launchParametersSchema.parse(parseJson(text));
  } catch {
    throw new OperatorError(`${place} is no run of Lockstep's`, [
      { key: rootKeys.launch, given: text, allowed: 'what lockstep launch writes there' },
    ]);
  }
}

/**
 * How a Job is. It is decided before the server says Complete or Failed, which waits for pods that
 * may be on a lost node: one pod that ended well is enough for both Jobs.
 */
export function jobStage(job: V1Job | undefined): JobStage {
  if (job === undefined) return 'missing';
  if (job.metadata?.deletionTimestamp !== undefined) return 'going';
  const holds = (...types: string[]) => types.some((type) => conditionOf(job, type) !== undefined);
  const hasOne = (job.status?.succeeded ?? 0) > 0;
  if (hasOne || holds('Complete', 'SuccessCriteriaMet')) return 'complete';
  if (holds('Failed', 'FailureTarget')) return 'failed';
  return job.spec?.suspend === true ? 'suspended' : 'active';
}

/** The condition of a type, if it holds. */
export function conditionOf(job: V1Job | undefined, type: string): V1JobCondition | undefined {
  return job?.status?.conditions?.find((one) => one.type === type && one.status === 'True');
}

/** Why a Job failed, in the cluster's words; empty if it did not. */
function jobFailure(job: V1Job | undefined): string {
  const failed = conditionOf(job, 'Failed') ?? conditionOf(job, 'FailureTarget');
  const { reason = '', message = '' } = failed ?? {};
  return [reason, message].filter((word) => word !== '').join(': ');
}

/** What is known of a run. */
export interface JobsAndLease {
  readonly coordinator: V1Job | undefined;
  readonly worker: V1Job | undefined;
  readonly lease: V1Lease | undefined;
}

export interface RunStage {
  readonly kind: 'queued' | 'starting' | 'running' | 'finished' | 'failed' | 'gone';
  readonly reason: string;
  readonly progress: LeaderStatus | undefined;
}

/**
 * The state of a run. A leader's word counts only while its Job goes on, but for the word that the
 * run has finished: no coordinator that comes later can say anything else.
 */
export function runStage({ coordinator, worker, lease }: JobsAndLease): RunStage {
  const progress = readLeaderStatus(lease?.metadata?.annotations);
  const [leads, works] = [jobStage(coordinator), jobStage(worker)];
  const be = (kind: RunStage['kind'], reason: string): RunStage => ({ kind, reason, progress });
  const result = progress?.result;
  if (leads === 'complete') return be('finished', result?.reason ?? '');
  if (leads === 'failed') return be('failed', result?.reason || jobFailure(coordinator));
  if (leads === 'missing' || leads === 'going') return be('gone', 'its coordinators are gone');
  if (result?.kind === 'finished') return be('finished', result.reason);
  if (works === 'failed') return be('failed', `the workers: ${jobFailure(worker)}`);
  if (leads === 'suspended' || works === 'suspended') return be('queued', 'waits in its queue');
  if (progress === undefined || result !== undefined)
    return be(
      'starting',
      `${worker?.status?.ready ?? 0} of ${worker?.spec?.completions ?? 0} workers are ready`,
    );
  return be('running', progress.stage);
}

/** The exit code of a command that waited for a run that failed, by its leader or its Jobs. */
export function failedExitCode({ reason, progress }: Omit<RunStage, 'kind'>): ExitCode {
  const [, code] = /exit code (\d+)/.exec(reason) ?? [];
  const said = progress?.result?.reason === reason ? progress.result.exitCode : Number(code);
  return said === exitCodes.configuration ? exitCodes.configuration : exitCodes.failed;
}
