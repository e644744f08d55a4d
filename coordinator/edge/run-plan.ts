// Before the first step: reads the run and its dataset from the object store and makes sure that
// they fit together, so that a mistake is told before anything is lost.

import { fitProblems } from '../../dataset/fit.js';
import { readDatasetIndex } from '../../dataset/read-index.js';
import { splitSamples } from '../../dataset/split.js';
import { discardAbove, newestWholeCheckpoint } from '../../shared/checkpoint/list.js';
import { OperatorError, type Problem } from '../../shared/problems.js';
import { createRunRecord, readRunRecord, type RunRecord } from '../../shared/run/record.js';
import { lastStep, type RunSpec } from '../../shared/spec/schema.js';
import { openStore, type StoreOptions } from '../../shared/store/open-store.js';
import type { ObjectStore } from '../../shared/store/store.js';

export interface RunPlan {
  readonly record: RunRecord;
  /** Step to start from: the newest whole checkpoint's, or 0. */
  readonly startStep: number;
  /** The step a whole checkpoint exists for already. */
  readonly savedStep: number | undefined;
  /** Sum of the parameters in that checkpoint; empty without one. */
  readonly savedSha256: string;
  readonly trainSamples: number;
  readonly testSamples: number;
  /** What was passed over on the way to the checkpoint, for the operator. */
  readonly notices: readonly string[];
}

export interface RunRequest {
  readonly run: string;
  readonly store: ObjectStore;
  readonly storeOptions: StoreOptions;
  /** The spec of a new run; undefined resumes the run that is there. */
  readonly spec: RunSpec | undefined;
  readonly worldSize: number;
  readonly until: number | undefined;
  readonly nowMs: number;
}

/** Plans a run; an OperatorError lists what does not fit. */
export async function planRun(request: RunRequest): Promise<RunPlan> {
  const existing = request.spec === undefined ? await readRunRecord(request.store) : undefined;
  const spec = existing?.spec ?? request.spec;
  if (spec === undefined) throw new Error('a run has a spec');
  const store = openStore(spec.dataset.url, request.storeOptions);
  const { index, sha256 } = await readDatasetIndex(store, spec.dataset.indexSha256);
  await store.close();
  const { train, test } = splitSamples(index, spec.dataset.testFraction);
  const found = existing === undefined ? undefined : await newestWholeCheckpoint(request.store);
  const startStep = found?.manifest?.step ?? 0;
  const problems = [
    ...findProblems(request, spec, train.length, startStep),
    ...fitProblems(train, spec.dataset),
  ];
  if (problems.length > 0) throw new OperatorError('the run can not start', problems);
  const pinned = { ...spec, dataset: { ...spec.dataset, indexSha256: sha256 } };
  const record = existing ?? {
    format: 'lockstep-run/1' as const,
    run: request.run,
    spec: pinned,
    createdAt: new Date(request.nowMs).toISOString(),
  };
  if (existing === undefined) await createRunRecord(request.store, record);
  // Torn checkpoints are in the way of the steps that will be written anew.
  else await discardAbove(request.store, startStep);
  const passedOver = found?.passedOver ?? [];
  return {
    record,
    startStep,
    savedStep: found?.manifest?.step,
    savedSha256: found?.manifest?.parametersSha256 ?? '',
    trainSamples: train.length,
    testSamples: test.length,
    notices: passedOver.map(
      ({ step, reason }) => `checkpoint of step ${step} passed over: ${reason}`,
    ),
  };
}

function findProblems(
  request: RunRequest,
  spec: RunSpec,
  trainSamples: number,
  startStep: number,
): Problem[] {
  const problems: Problem[] = [];
  const { microShards } = spec.batch;
  const { worldSize } = request;
  if (!Number.isInteger(worldSize) || worldSize < 1 || worldSize > microShards)
    problems.push({
      key: '--workers',
      given: worldSize,
      allowed: `1 to ${microShards}, the spec's batch.microShards`,
      hint: 'a worker computes whole micro-shards',
    });
  if (trainSamples === 0)
    problems.push({
      key: 'dataset.testFraction',
      given: spec.dataset.testFraction,
      allowed: 'a share that leaves pictures to train on',
    });
  const { until } = request;
  const isStep = (n: number): boolean =>
    Number.isInteger(n) && n >= startStep && n <= lastStep(spec);
  if (until !== undefined && !isStep(until))
    problems.push({
      key: '--stop-after',
      given: until,
      allowed: `a step from ${startStep} to ${lastStep(spec)}`,
    });
  return problems;
}
