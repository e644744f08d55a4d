// Before the first step: reads the run and its dataset from the object store and makes sure that
// they fit together, so that a mistake is found before anything is written or lost.

import { fitProblems, splitNotices, splitSamples } from '../../dataset/samples.js';
import { hasSums, readDatasetIndex, withoutSums } from '../../dataset/dataset-index.js';
import { shardLengthProblems } from '../../dataset/shards.js';
import { readBest, type BestCheckpoint } from '../../shared/checkpoint/best.js';
import type { CheckpointManifest } from '../../shared/checkpoint/manifest.js';
import { parseWeightsPlace, weightsUrl } from '../../shared/checkpoint/weights-place.js';
import { newestWholeCheckpoint } from '../../shared/checkpoint/read.js';
import { OperatorError, type Problem } from '../../shared/problems.js';
import {
  createRunRecord,
  findRunRecord,
  readRunRecord,
  recordKey,
  refuseExistingRun,
  type RunRecord,
} from '../../shared/spec/record.js';
import { specDifferences } from '../../shared/spec/compare.js';
import { pinExchange, withChoice } from '../../shared/spec/exchange.js';
import { lastStep, type RunSpec } from '../../shared/spec/schema.js';
import { workersProblem } from '../../shared/spec/validate.js';
import {
  pinFeatureWeights,
  readFeatureWeights,
  withPinnedSums,
} from '../../shared/weights/feature-weights.js';
import { openStore, type StoreOptions } from '../../shared/store/open-store.js';
import { parseStoreUrl } from '../../shared/store/places.js';
import { requireConditionalPuts } from '../../shared/store/probe.js';
import type { ObjectStore } from '../../shared/store/store.js';

export interface RunPlan {
  readonly record: RunRecord;
  /** The same with the place where the dataset lies now: what workers are given. */
  readonly workersRecord: RunRecord;
  /** The record is still to be written, by `recordRun`. */
  readonly isNew: boolean;
  /** Step of the newest whole checkpoint, or 0: where the run goes on if no worker has more. */
  readonly startStep: number;
  /** The step a whole checkpoint exists for already. */
  readonly savedStep: number | undefined;
  /** What that checkpoint was computed with. */
  readonly savedFingerprint: string | undefined;
  /** Sum of the parameters in that checkpoint; empty without one. */
  readonly savedSha256: string;
  /** The best checkpoint so far, by the spec's metric. */
  readonly savedBest: BestCheckpoint | undefined;
  readonly trainSamples: number;
  readonly testSamples: number;
  /** What the operator should know of the dataset. */
  readonly notices: readonly string[];
}

/** A run that is there is refused, or gone on with. */
export type IfExists = 'fail' | 'resume';

export interface RunRequest {
  readonly run: string;
  readonly store: ObjectStore;
  readonly storeOptions: StoreOptions;
  /** The spec of a new run; undefined resumes the run that is there. */
  readonly spec: RunSpec | undefined;
  /** Where the dataset lies now; undefined: where the spec says. */
  readonly datasetUrl?: string | undefined;
  /** What a spec means for a folder that holds a run of that spec already. */
  readonly ifExists: IfExists;
  readonly worldSize: number;
  readonly until: number | undefined;
  readonly nowMs: number;
}

/** Plans a run and writes nothing; an OperatorError lists what does not fit. */
export async function planRun(request: RunRequest): Promise<RunPlan> {
  const existing = await findRun(request);
  const isNew = existing === undefined;
  const recorded = existing?.spec ?? request.spec;
  if (recorded === undefined) throw new Error('a run has a spec');
  const spec = withPlaces(recorded, request.datasetUrl);
  const found = existing === undefined ? undefined : await newestWholeCheckpoint(request.store);
  if (existing !== undefined && found?.manifest !== undefined)
    requireUneditedSpec(request.store.url, existing.spec, found.manifest);
  const { index, sha256, damages } = await readDataset(request, spec);
  const weights = await readFeatureWeights(spec, request.storeOptions);
  const { testFraction, splitBy, url } = spec.dataset;
  const split = splitSamples(index, testFraction, splitBy);
  const { train, test } = split;
  const savedStep = found?.manifest?.step;
  const problems = [
    ...damages,
    ...findProblems(request, spec, train.length, savedStep ?? 0),
    ...fitProblems(train, spec.dataset),
  ];
  if (problems.length > 0) throw new OperatorError('the run can not start', problems);
  const pinned = savedStep === undefined ? await pinInit(spec, request.storeOptions) : {};
  const record: RunRecord = existing ?? {
    format: 'lockstep-run/1',
    run: request.run,
    spec: pinFeatureWeights(
      { ...pinExchange(spec), ...pinned, dataset: { ...spec.dataset, indexSha256: sha256 } },
      weights,
    ),
    createdAt: new Date(request.nowMs).toISOString(),
  };
  return {
    record,
    workersRecord: existing === undefined ? record : { ...existing, spec },
    isNew,
    startStep: savedStep ?? 0,
    savedStep,
    savedFingerprint: found?.manifest?.fingerprint,
    savedSha256: found?.manifest?.parametersSha256 ?? '',
    savedBest:
      existing === undefined || spec.checkpoint.best === undefined
        ? undefined
        : await readBest(request.store),
    trainSamples: train.length,
    testSamples: test.length,
    notices: [...(hasSums(index) ? [] : [withoutSums(url)]), ...splitNotices(split, testFraction)],
  };
}

/**
 * Writes the record of a run that is new, with which the folder is a run; an OperatorError when it
 * has become one since.
 */
export async function recordRun(store: ObjectStore, plan: RunPlan): Promise<void> {
  if (plan.isNew) await createRunRecord(store, plan.record);
}

/** Plans a run, tries its store, and writes its record, with which the folder is a run. */
export async function openRun(request: RunRequest): Promise<RunPlan> {
  const plan = await planRun(request);
  await requireConditionalPuts(request.store);
  try {
    await recordRun(request.store, plan);
    return plan;
  } catch (error) {
    // Another coordinator has opened it since.
    if (!(error instanceof OperatorError) || request.ifExists === 'fail') throw error;
    return planRun(request);
  }
}

/** The run to go on with; undefined where a new one is to be opened. */
async function findRun({
  store,
  spec,
  datasetUrl,
  ifExists,
}: RunRequest): Promise<RunRecord | undefined> {
  if (spec === undefined) return readRunRecord(store);
  if (ifExists === 'resume') {
    const existing = await findRunRecord(store);
    if (existing !== undefined) requireSameSpec(store.url, spec, existing.spec, datasetUrl);
    return existing;
  }
  // Soon said; what decides is the put of the record.
  await refuseExistingRun(store);
  return undefined;
}

/** The spec with places that are found from any folder; the dataset at `url`, if it has moved. */
function withPlaces(spec: RunSpec, url = spec.dataset.url): RunSpec {
  const dataset = { ...spec.dataset, url: parseStoreUrl(url).url };
  if (spec.init === undefined) return { ...spec, dataset };
  const generator = weightsUrl(parseWeightsPlace(spec.init.generator, 'init.generator'));
  return { ...spec, dataset, init: { ...spec.init, generator } };
}

/**
 * The weights that the spec starts from, with the checkpoint that they are and its sum; an
 * OperatorError when they do not fit. No step needs them once there is a checkpoint of the run.
 */
async function pinInit(spec: RunSpec, options: StoreOptions): Promise<Pick<RunSpec, 'init'>> {
  if (spec.init === undefined) return {};
  // Imported here, since tensors take long to load and no other run needs them.
  const { readStartingWeights } = await import('../../inference/starting-weights.js');
  const { url, sha256 } = await readStartingWeights(spec, spec.init, options);
  return { init: { generator: url, sha256 } };
}

/** A run has pinned what the operator need not know: sums, and the newest checkpoint of `init`. */
function requireSameSpec(
  url: string,
  given: RunSpec,
  existing: RunSpec,
  datasetUrl: string | undefined,
): void {
  const { indexSha256 = existing.dataset.indexSha256 } = given.dataset;
  const dataset = { ...given.dataset, indexSha256 };
  const init = pinnedAs(given, existing);
  const sums = withPinnedSums({ ...given, dataset, init }, existing);
  const [asked, has] = [sums, existing].map((spec) =>
    withPlaces(withChoice(spec, existing), datasetUrl),
  );
  const differences = specDifferences(asked, has);
  if (differences.length === 0) return;
  throw new OperatorError(
    `${url} holds a run with another spec`,
    differences.map(({ key, left, right }) => ({
      key,
      given: left,
      allowed: `${JSON.stringify(right) ?? 'nothing'}, as the run has it`,
      hint: 'another spec is another run: give it another --run',
    })),
  );
}

/** What `given` starts from, as the run has pinned it where it names the same place. */
function pinnedAs({ init: given }: RunSpec, { init: existing }: RunSpec): RunSpec['init'] {
  if (given === undefined || existing === undefined) return given;
  const [asked, has] = [given, existing].map((init) =>
    parseWeightsPlace(init.generator, 'init.generator'),
  );
  const isSame =
    weightsUrl(asked) === weightsUrl(has) || (asked.kind === 'run' && asked.root === has.root);
  return isSame ? { ...existing, sha256: given.sha256 ?? existing.sha256 } : given;
}

/** The checkpoints say what the run was trained with: a record that was edited since is refused. */
function requireUneditedSpec(url: string, spec: RunSpec, manifest: CheckpointManifest): void {
  const differences = specDifferences(spec, manifest.spec);
  if (differences.length === 0) return;
  throw new OperatorError(
    `${url}/${recordKey} is not what the checkpoint of step ${manifest.step} was trained with`,
    differences.map(({ key, left, right }) => ({
      key: `spec.${key}`,
      given: left,
      allowed: `${JSON.stringify(right) ?? 'nothing'}, as it was`,
      hint:
        key === 'dataset.url'
          ? `put it back; a dataset that was moved: lockstep resume ${url} --dataset URL`
          : 'put it back; another spec is another run',
    })),
  );
}

/** The index of the run's dataset, and which shards can't be those that were packed. */
async function readDataset({ storeOptions }: RunRequest, { dataset }: RunSpec) {
  const store = openStore(dataset.url, storeOptions);
  try {
    const read = await readDatasetIndex(store, dataset.indexSha256);
    const hint = `see: lockstep dataset verify ${store.url}`;
    const problems = await shardLengthProblems(store, read.index);
    return { ...read, damages: problems.map((problem) => ({ ...problem, hint })) };
  } finally {
    await store.close();
  }
}

function findProblems(
  request: RunRequest,
  spec: RunSpec,
  trainSamples: number,
  startStep: number,
): Problem[] {
  const problems = [workersProblem(request.worldSize, spec.batch.microShards)].filter(
    (problem) => problem !== undefined,
  );
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
