// Brings a run into the cluster, or goes on with the one that is there: whatever state an earlier
// launch left, the same call ends in one run. What differs from the run that is there is refused.

import type { V1ConfigMap, V1Job } from '@kubernetes/client-node';
import { setTimeout as sleep } from 'node:timers/promises';
import { exitCodes } from '../../shared/exit-codes.js';
import { ClusterError } from '../../shared/kubernetes/refusal.js';
import { OperatorError, type Problem } from '../../shared/problems.js';
import { specDifferences } from '../../shared/spec/compare.js';
import type { SpecDocument } from '../../shared/spec/load.js';
import type { RunSpec } from '../../shared/spec/schema.js';
import { CommandFailed } from '../failure.js';
import { requireGivenSecrets } from './certificates/given-secrets.js';
import { ensureRunSecret } from './certificates/run-secret.js';
import type { ClusterClient } from './client/cluster-client.js';
import { requireLaunchable, type LaunchParameters } from './launch-parameters.js';
import { formatClusterRun, objectNames, ownedObjects, rootKeys, type ClusterRun } from './names.js';
import { hasOwnSecret } from './objects/certificates.js';
import { gracePeriodS } from './objects/pod.js';
import { launchText, rootObject, type Manifest } from './objects/root.js';
import { jobs, surroundings } from './objects/run-objects.js';
import { findRun, jobStage, refuseGoing, type RunState } from './run-state.js';
import { parseJson } from '../../shared/bounded-json.js';

/** What a launch came to. */
export interface Launched {
  /** `running`: it was going on already; `finished`: it has ended well before. */
  readonly action: 'created' | 'resumed' | 'running' | 'finished';
  /** What the run has now. */
  readonly parameters: LaunchParameters;
}

/** Another command may change the run at the same time; then all is looked at anew. */
const mostRounds = 5;

/** Launches a new run, or goes on with the run of that name if it is of the same spec. */
export function launchRun(
  client: ClusterClient,
  wanted: LaunchParameters,
  document: SpecDocument,
): Promise<Launched> {
  return inRounds(async () => {
    const found = await findRun(client, wanted);
    if (found !== undefined) {
      refuseOther(found, wanted, document);
      return goOn(client, found, wanted);
    }
    await refuseTaken(client, wanted);
    await requireGivenSecrets(client, wanted);
    const root = await client.create<V1ConfigMap & Manifest>(rootObject(wanted, document.text));
    if (root === undefined) return undefined;
    await send(client, wanted, root.metadata.uid ?? '', document.spec, jobNames);
    return { action: 'created', parameters: wanted };
  });
}

/** Goes on with a run; `change` is what is to be other than before. */
export function resumeRun(
  client: ClusterClient,
  found: RunState,
  change: Partial<LaunchParameters>,
): Promise<Launched> {
  return inRounds(async () => {
    const now = (await findRun(client, found.parameters)) ?? found;
    const wanted = { ...now.parameters, ...change };
    requireLaunchable(wanted, now.spec);
    return goOn(client, now, wanted);
  });
}

async function inRounds(round: () => Promise<Launched | undefined>): Promise<Launched> {
  for (let n = 1; ; n++) {
    try {
      const launched = await round();
      if (launched !== undefined) return launched;
    } catch (error) {
      const isRace = error instanceof ClusterError && error.status === 409 && !error.causes.length;
      if (!isRace || n === mostRounds) throw error;
    }
    if (n === mostRounds)
      throw new CommandFailed('others change the run at the same time', exitCodes.failed);
  }
}

type JobName = 'coordinator' | 'worker';
const jobNames: readonly JobName[] = ['coordinator', 'worker'];

async function goOn(
  client: ClusterClient,
  found: RunState,
  wanted: LaunchParameters,
): Promise<Launched> {
  refuseGoing(found);
  if (jobStage(found.coordinator) === 'complete')
    return { action: 'finished', parameters: found.parameters };
  const ended = jobNames.filter((name) => hasEnded(found, name));
  if (ended.length === jobNames.length) await rewriteRoot(client, found, wanted);
  else refuseChanges(found.parameters, wanted);
  if (ended.length === 0) return { action: 'running', parameters: found.parameters };
  const parameters = ended.length === jobNames.length ? wanted : found.parameters;
  await requireGivenSecrets(client, parameters);
  for (const name of ended) await removeJob(client, found[name]);
  await send(client, parameters, found.uid, found.spec, ended);
  return { action: 'resumed', parameters };
}

/** Workers that are done while a coordinator still is at work: the run is about to end. */
function hasEnded(found: RunState, name: JobName): boolean {
  const stage = jobStage(found[name]);
  if (stage === 'complete') return !['active', 'suspended'].includes(jobStage(found.coordinator));
  return stage === 'missing' || stage === 'failed' || stage === 'going';
}

/** What a later resume starts from; a conflict (409) where somebody else has written meanwhile. */
export async function rewriteRoot(
  client: ClusterClient,
  { root, parameters }: RunState,
  wanted: LaunchParameters,
): Promise<void> {
  if (launchText(parameters) === launchText(wanted)) return;
  const { namespace = '', name = '', resourceVersion } = root.metadata ?? {};
  const data = { [rootKeys.launch]: launchText(wanted) };
  await client.patch('ConfigMap', namespace, name, { metadata: { resourceVersion }, data });
}

async function send(
  client: ClusterClient,
  parameters: LaunchParameters,
  uid: string,
  spec: RunSpec,
  wanted: readonly JobName[],
): Promise<void> {
  const owner = { namespace: parameters.namespace, name: parameters.name, uid };
  const names = wanted.map((job) => objectNames(owner.name)[job] as string);
  const { microShards } = spec.batch;
  if (hasOwnSecret(parameters)) await ensureRunSecret(client, owner, parameters, microShards);
  for (const object of surroundings(owner, parameters)) await client.apply(object);
  for (const job of jobs(owner, parameters, microShards))
    if (names.includes(job.metadata.name)) await client.apply(job);
}

const lookMs = 500;

/** Removes a Job and waits until it is gone; its pods may take their time to end. */
async function removeJob(client: ClusterClient, job: V1Job | undefined): Promise<void> {
  if (job === undefined) return;
  const { namespace = '', name = '', uid = '' } = job.metadata ?? {};
  await client.remove('Job', namespace, name, uid);
  const untilMs = performance.now() + 1000 * (gracePeriodS + 60);
  while ((await client.get<V1Job>('Job', namespace, name))?.metadata?.uid === uid) {
    if (performance.now() > untilMs)
      throw new CommandFailed(
        `Job ${name} does not go away`,
        exitCodes.failed,
        'Its pods do not end: their node may be lost.',
      );
    await sleep(lookMs);
  }
}

/** Another spec, or another folder, is another run. */
function refuseOther(found: RunState, wanted: LaunchParameters, { spec }: SpecDocument): void {
  const problems: Problem[] = specDifferences(spec, found.spec).map(({ key, left, right }) => ({
    key,
    given: left,
    allowed: `${JSON.stringify(right) ?? 'nothing'}, as the run has it`,
  }));
  if (wanted.runUrl !== found.parameters.runUrl)
    problems.push({ key: '--run', given: wanted.runUrl, allowed: found.parameters.runUrl });
  if (problems.length === 0) return;
  const [first, ...others] = problems;
  const hint = 'another spec is another run: give it another --name and --run';
  throw new OperatorError(
    `there is another run named ${wanted.name} in ${wanted.namespace}`,
    first === undefined ? [] : [{ ...first, hint }, ...others],
  );
}

/** Jobs that go on can't be changed but by `lockstep scale`. */
function refuseChanges(has: LaunchParameters, wanted: LaunchParameters): void {
  const keys = Object.keys(wanted) as (keyof LaunchParameters)[];
  const changed = keys.filter((key) => key !== 'workers' && wanted[key] !== has[key]);
  if (changed.length === 0) return;
  throw new OperatorError(
    `${wanted.name} goes on, and can not be changed meanwhile`,
    changed.map((key) => ({
      key: `--${key.replace(/Url$/, '').replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`,
      given: wanted[key],
      allowed: `${has[key] ?? 'nothing'}, as it runs with`,
      hint: 'lockstep cancel ends it; launched again, it goes on from its newest checkpoint',
    })),
  );
}

/** Throws where an object would be taken over, or a folder be written by two runs. */
async function refuseTaken(client: ClusterClient, wanted: LaunchParameters): Promise<void> {
  const problems = [...(await takenNames(client, wanted)), ...(await sharedFolder(client, wanted))];
  if (problems.length > 0) throw new OperatorError('the run can not be launched', problems);
}

/** Objects of ours without a root are what an unfinished cancel has left. */
async function takenNames(client: ClusterClient, run: ClusterRun): Promise<Problem[]> {
  const { namespace, name } = run;
  const problems = ownedObjects(name).map(async ([kind, object]): Promise<Problem[]> => {
    const there = await client.get(kind, namespace, object);
    if (there === undefined) return [];
    const isOurs = there.metadata?.labels?.['app.kubernetes.io/managed-by'] === 'lockstep';
    const left = `left over: lockstep cancel ${formatClusterRun(run)}`;
    const allowed = `a name for which there is no ${kind} ${object} yet`;
    return [{ key: '--name', given: name, allowed, hint: isOurs ? left : "it is not Lockstep's" }];
  });
  return (await Promise.all(problems)).flat();
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
    return (parseJson(data[rootKeys.launch] ?? '') as { runUrl?: unknown }).runUrl;
  } catch {
    return undefined;
  }
}
