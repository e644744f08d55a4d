// Changes how many workers a run in a cluster has: the Job makes or takes away pods, the Lease
// carries the number to the leader, the budget and the root keep up.

import { OperatorError } from '../../shared/problems.js';
import { ClusterError } from '../../shared/kubernetes/refusal.js';
import { requireWorkers } from '../../shared/spec/validate.js';
import type { ClusterClient } from './client/cluster-client.js';
import { rewriteRoot } from './launch.js';
import { formatClusterRun, objectNames, type ClusterRun } from './names.js';
import { leaseObject } from './objects/root.js';
import { workerBudget } from './objects/jobs.js';
import { jobStage, refuseGoing, requireRun, type RunState } from './run-state.js';

/** Scales; answers how many there were. A scale that broke off may be repeated. */
export async function scaleRun(
  client: ClusterClient,
  run: ClusterRun,
  workers: number,
): Promise<{ readonly before: number }> {
  const found = await requireRun(client, run);
  requireScalable(found, run, workers);
  const { namespace, name } = run;
  const names = objectNames(name);
  const owner = { namespace, name, uid: found.uid };
  const before = found.worker?.spec?.completions ?? found.parameters.workers;
  // Pods first: of two workers too many, those with the highest index leave by themselves.
  const spec = { completions: workers, parallelism: workers };
  await client.patch('Job', namespace, names.worker, { spec });
  await client.apply(leaseObject(owner, workers), true);
  await client.apply(workerBudget(owner, workers), true);
  await rewriteWorkers(client, run, workers);
  return { before };
}

function requireScalable(found: RunState, run: ClusterRun, workers: number): void {
  refuseGoing(found);
  requireWorkers('the run can not be scaled', workers, found.spec.batch.microShards);
  const stages = [jobStage(found.coordinator), jobStage(found.worker)];
  if (stages.every((stage) => stage === 'active' || stage === 'suspended')) return;
  const url = formatClusterRun(run);
  throw new OperatorError('the run does not go on', [
    {
      key: 'RUN',
      given: `${url}, whose Jobs are ${stages.join(' and ')}`,
      allowed: 'a run that goes on',
      hint: `lockstep resume ${url} --workers ${workers}`,
    },
  ]);
}

const mostTries = 5;

/** Writes the root anew when somebody else has written meanwhile. */
async function rewriteWorkers(client: ClusterClient, run: ClusterRun, workers: number) {
  for (let tries = 1; ; tries++) {
    const found = await requireRun(client, run);
    try {
      return await rewriteRoot(client, found, { ...found.parameters, workers });
    } catch (error) {
      const isRace = error instanceof ClusterError && error.status === 409;
      if (!isRace || tries === mostTries) throw error;
    }
  }
}
