// Decides whether a parsed document is a run spec, and lists every problem it has: each key on its
// own by the schema, then the relations between keys.

import type { z } from 'zod';
import { nearMiss, OperatorError, type Problem } from '../problems.js';
import { precisionProblem } from './engines.js';
import { layerNames, smallestCrop } from './feature-layers.js';
import { allowedAt, keyName, unknownKey, type KeyPath } from './keys.js';
import { lastStep, runSpecSchema, type PhaseSpec, type RunSpec } from './schema.js';
import { weightsPlaceProblem } from '../checkpoint/weights-place.js';
import { placeProblem } from '../store/places.js';

export type Validated =
  | { readonly kind: 'valid'; readonly spec: RunSpec }
  | { readonly kind: 'invalid'; readonly problems: readonly Problem[] };

/** Validates a document (plain data). Defaults are filled in; every problem is found. */
export function validateSpec(document: unknown): Validated {
  const parsed = runSpecSchema.safeParse(document);
  if (parsed.success) {
    const problems = relations.flatMap((relation) => relation.check(parsed.data));
    return problems.length === 0
      ? { kind: 'valid', spec: parsed.data }
      : { kind: 'invalid', problems };
  }
  const { issues } = parsed.error;
  const problems = issues.flatMap((issue) => problemsOf(issue, document));
  return { kind: 'invalid', problems: [...problems, ...relationsBeside(issues, document)] };
}

/**
 * What is wrong with a number of workers, if anything: each computes whole micro-shards. Before the
 * spec is known, leave `microShards` out.
 */
export function workersProblem(workers: number, microShards?: number): Problem | undefined {
  const most = microShards ?? Infinity;
  if (Number.isInteger(workers) && workers >= 1 && workers <= most) return undefined;
  const allowed =
    microShards === undefined
      ? "1 to the spec's batch.microShards"
      : `1 to ${microShards}, the spec's batch.microShards`;
  const hint = 'a worker computes whole micro-shards';
  return { key: '--workers', given: workers, allowed, hint };
}

/** Throws an OperatorError titled `what` when a run can not have so many workers. */
export function requireWorkers(what: string, workers: number, microShards?: number): void {
  const problem = workersProblem(workers, microShards);
  if (problem !== undefined) throw new OperatorError(what, [problem]);
}

/** The relations that read none of the keys that are wrong. */
function relationsBeside(issues: readonly z.core.$ZodIssue[], document: unknown): Problem[] {
  if (issues.some((issue) => issue.path.length === 0 && issue.code !== 'unrecognized_keys'))
    return [];
  const wrong = new Set(issues.map((issue) => issue.path[0]));
  return relations
    .filter((relation) => !relation.reads.some((key) => wrong.has(key)))
    .flatMap((relation) => relation.check(document as RunSpec));
}

/** For each of them the nearest key is looked for. */
const mostUnknownKeys = 50;

function problemsOf(issue: z.core.$ZodIssue, document: unknown): Problem[] {
  const path = issue.path as KeyPath;
  if (issue.code === 'unrecognized_keys') {
    const problems = issue.keys.slice(0, mostUnknownKeys).map((key): Problem => {
      const full = [...path, key];
      return { key: keyName(full), given: valueAt(document, full), ...unknownKey(full) };
    });
    const more = issue.keys.length - problems.length;
    if (more <= 0) return problems;
    return [
      ...problems,
      { key: keyName(path), given: `${more} more keys`, allowed: 'none of them' },
    ];
  }
  return [{ key: keyName(path), given: valueAt(document, path), allowed: allowedAt(path) }];
}

/** The value at a path of plain data; undefined where there is none. */
function valueAt(document: unknown, path: KeyPath): unknown {
  return path.reduce<unknown>((value, part) => {
    if (typeof value !== 'object' || value === null || !Object.hasOwn(value, part))
      return undefined;
    return (value as Record<string | number, unknown>)[part];
  }, document);
}

/**
 * What must hold between keys, beyond what each key allows on its own. It names the keys it reads
 * (all valid on their own when it is called), so that it is checked even when others are wrong.
 */
interface Relation {
  readonly reads: readonly (keyof RunSpec)[];
  check(spec: RunSpec): Problem[];
}

/** Values of one tensor that every engine and typed array can hold: 2^31 (indexes are int32). */
const tensorValues = 2 ** 31;

/** All relations, in the order of the spec's keys. */
const relations: readonly Relation[] = [
  { reads: ['dataset'], check: datasetHasPlace },
  { reads: ['dataset'], check: resizeCoversCrop },
  { reads: ['init'], check: initHasPlace },
  { reads: ['dataset', 'batch', 'generator', 'discriminator'], check: activationsFit },
  { reads: ['dataset', 'discriminator'], check: denseHeadFits },
  { reads: ['generator'], check: shuffleDividesChannels },
  { reads: ['generator'], check: icnrHasShuffle },
  { reads: ['phases'], check: phaseNamesDiffer },
  { reads: ['phases'], check: phasesLearn },
  { reads: ['phases'], check: ratesHaveTheirSteps },
  { reads: ['phases'], check: generatorTakesPart },
  { reads: ['phases'], check: featureLayersExist },
  { reads: ['phases', 'dataset'], check: cropsReachLayers },
  { reads: ['phases', 'featureNetworks'], check: vgg19HasPlace },
  { reads: ['phases', 'batch'], check: positionsAreExact },
  { reads: ['dataset', 'evaluation'], check: evaluationHasFaces },
  { reads: ['dataset', 'checkpoint', 'evaluation'], check: bestIsEvaluated },
  { reads: ['engine'], check: engineHasPrecision },
];

function datasetHasPlace({ dataset: { url } }: RunSpec): Problem[] {
  const problem = placeProblem('dataset.url', url);
  return problem === undefined ? [] : [problem];
}

function initHasPlace({ init }: RunSpec): Problem[] {
  const problem = init && weightsPlaceProblem('init.generator', init.generator);
  return problem === undefined ? [] : [problem];
}

function resizeCoversCrop({ dataset: { resize, crop } }: RunSpec): Problem[] {
  if (resize === 0 || resize >= crop) return [];
  return [
    { key: 'dataset.resize', given: resize, allowed: `0, or at least dataset.crop (${crop})` },
  ];
}

/** The widest activations lie at full resolution, behind the last upsampling or D's first layer. */
function activationsFit({ dataset, batch, generator, discriminator }: RunSpec): Problem[] {
  const shuffled = generator.upsampling === 'pixel-shuffle' ? 4 : 1;
  const channels = Math.max(
    generator.upsamplingChannels / shuffled,
    generator.channels,
    discriminator.channels,
  );
  const most = Math.floor(tensorValues / (dataset.crop ** 2 * channels));
  if (batch.size <= most) return [];
  const hint = `one activation would have more than 2^31 values; raise batch.microShards instead`;
  return [
    {
      key: 'batch.size',
      given: batch.size,
      allowed: `at most ${most} with this crop and width`,
      hint,
    },
  ];
}

function denseHeadFits({ dataset, discriminator: { channels, head, hidden } }: RunSpec): Problem[] {
  const values = (dataset.crop / 16) ** 2 * channels * 8 * hidden;
  if (head !== 'dense' || values <= tensorValues) return [];
  const allowed = 'patch, or a smaller dataset.crop or discriminator.hidden';
  const hint = `the dense layer would have ${values} weights`;
  return [{ key: 'discriminator.head', given: head, allowed, hint }];
}

function shuffleDividesChannels({
  generator: { upsampling, upsamplingChannels },
}: RunSpec): Problem[] {
  if (upsampling !== 'pixel-shuffle' || upsamplingChannels % 4 === 0) return [];
  return [
    {
      key: 'generator.upsamplingChannels',
      given: upsamplingChannels,
      allowed: 'a multiple of 4 when generator.upsampling is pixel-shuffle',
    },
  ];
}

function icnrHasShuffle({ generator: { upsampling, initialization } }: RunSpec): Problem[] {
  if (initialization !== 'icnr' || upsampling === 'pixel-shuffle') return [];
  const allowed =
    'uniform when generator.upsampling is nearest, which starts without checkerboards';
  return [{ key: 'generator.initialization', given: initialization, allowed }];
}

function phaseNamesDiffer({ phases }: RunSpec): Problem[] {
  const names = phases.map((phase) => phase.name);
  return names.flatMap((name, i) => {
    if (names.indexOf(name) === i) return [];
    return [{ key: `phases.${i}.name`, given: name, allowed: 'a name that no earlier phase has' }];
  });
}

/** A phase has a loss, and each loss has a network that learns from it. */
function phasesLearn({ phases }: RunSpec): Problem[] {
  return phases.flatMap(({ loss, learningRate }, i) => {
    const problems: Problem[] = [];
    const add = (key: string, given: number, allowed: string): number =>
      problems.push({ key: `phases.${i}.${key}`, given, allowed });
    if (loss.pixel === 0 && loss.adversarial === 0 && loss.features === undefined)
      add('loss.pixel', 0, 'above 0 when it is the only loss: the phase would have none');
    if (loss.adversarial > 0 && learningRate.discriminator === 0)
      add('learningRate.discriminator', 0, 'above 0 when loss.adversarial is above 0');
    if (loss.adversarial === 0 && learningRate.generator === 0)
      add('learningRate.generator', 0, 'above 0 when loss.adversarial is 0: nothing would learn');
    return problems;
  });
}

/** The changes of the rates lie within their phase, one after the other. */
function ratesHaveTheirSteps({ phases }: RunSpec): Problem[] {
  return phases.flatMap(({ steps, learningRate: { warmUp = 0, steps: changes = [] } }, i) => {
    const key = `phases.${i}.learningRate`;
    const problems: Problem[] = [];
    if (warmUp > steps)
      problems.push({
        key: `${key}.warmUp`,
        given: warmUp,
        allowed: `at most ${steps}, as phases.${i}.steps`,
      });
    changes.forEach(({ at }, n) => {
      const first = n === 0 ? 1 : changes[n - 1].at + 1;
      if (at >= first && at < steps) return;
      const allowed = `${first} to ${steps - 1}: after the one before it, within the phase`;
      problems.push({ key: `${key}.steps.${n}.at`, given: at, allowed });
    });
    return problems;
  });
}

/** Steps of the discriminator alone need one, and leave the generator its own. */
function generatorTakesPart({ phases }: RunSpec): Problem[] {
  return phases.flatMap(({ loss, steps, discriminatorSteps = 1 }, i) => {
    const most = loss.adversarial === 0 ? 1 : steps;
    if (discriminatorSteps <= most) return [];
    const allowed =
      loss.adversarial === 0
        ? '1 when loss.adversarial is 0: the phase has no discriminator'
        : `at most ${steps}, as phases.${i}.steps: the generator would not train`;
    return [{ key: `phases.${i}.discriminatorSteps`, given: discriminatorSteps, allowed }];
  });
}

/** A feature loss, and where it stands in the spec. */
type PlacedFeature = NonNullable<PhaseSpec['loss']['features']>[number] & { readonly at: string };

function featuresOf({ phases }: Pick<RunSpec, 'phases'>): PlacedFeature[] {
  return phases.flatMap(({ loss }, i) =>
    (loss.features ?? []).map((one, j) => ({ ...one, at: `phases.${i}.loss.features.${j}` })),
  );
}

/** A layer is one of its network's, and named once in a phase: a metric has its name. */
function featureLayersExist(spec: RunSpec): Problem[] {
  const all = featuresOf(spec);
  return all.flatMap(({ at, network, layer }): Problem[] => {
    const key = `${at}.layer`;
    const names = layerNames(network);
    if (!names.includes(layer)) {
      const near = nearMiss(layer, names);
      const hint = near === undefined ? {} : { hint: `did you mean ${near}?` };
      return [{ key, given: layer, allowed: names.join(', '), ...hint }];
    }
    const phase = at.slice(0, at.lastIndexOf('.'));
    const first = all.find(
      (one) => one.at.startsWith(`${phase}.`) && one.network === network && one.layer === layer,
    );
    if (first?.at === at) return [];
    return [{ key, given: layer, allowed: 'a layer that no other feature loss of the phase has' }];
  });
}

function cropsReachLayers(spec: RunSpec): Problem[] {
  const { crop } = spec.dataset;
  return featuresOf(spec).flatMap(({ at, network, layer }) => {
    const least = smallestCrop(network, layer);
    if (!layerNames(network).includes(layer) || crop >= least) return [];
    const allowed = `an earlier layer, or a dataset.crop of at least ${least}`;
    return [{ key: `${at}.layer`, given: layer, allowed }];
  });
}

/** The weights of vgg19 come from the operator; those of face with Lockstep. */
function vgg19HasPlace({ phases, featureNetworks }: RunSpec): Problem[] {
  if (!featuresOf({ phases }).some(({ network }) => network === 'vgg19')) return [];
  const key = 'featureNetworks.vgg19.url';
  const url = featureNetworks?.vgg19?.url;
  const allowed = 's3:// or file:// and the place of a file NAME.safetensors or NAME.h5';
  if (url === undefined) return [{ key, given: url, allowed }];
  const isKeras = /[^/]\.(h5|hdf5)$/i.test(url);
  const problem = isKeras ? placeProblem(key, url) : weightsPlaceProblem(key, url);
  return problem === undefined ? [] : [{ ...problem, allowed }];
}

/** Positions in the stream of samples are whole numbers that a double holds exactly. */
function positionsAreExact(spec: RunSpec): Problem[] {
  const positions = lastStep(spec) * spec.batch.microShards * spec.batch.size;
  if (positions <= Number.MAX_SAFE_INTEGER) return [];
  const allowed = 'at most 2^53 images over the whole run (steps x microShards x size)';
  return [{ key: 'phases', given: `${positions} images`, allowed }];
}

function evaluationHasFaces({ dataset, evaluation }: RunSpec): Problem[] {
  if (dataset.testFraction > 0 || evaluation.everySteps === 0) return [];
  const allowed = '0 when dataset.testFraction is 0: there would be no face to evaluate';
  return [{ key: 'evaluation.everySteps', given: evaluation.everySteps, allowed }];
}

/** Only a checkpoint whose step is evaluated can be the best one. */
function bestIsEvaluated({ dataset, checkpoint, evaluation }: RunSpec): Problem[] {
  if (checkpoint.best === undefined) return [];
  if (dataset.testFraction === 0) {
    const allowed = 'left out when dataset.testFraction is 0: there would be no face to evaluate';
    return [{ key: 'checkpoint.best', given: checkpoint.best, allowed }];
  }
  const [often, seldom] = [evaluation.everySteps, checkpoint.everySteps].sort((a, b) => a - b);
  if (often > 0 && seldom % often === 0) return [];
  const allowed = `a multiple or a divisor of checkpoint.everySteps (${checkpoint.everySteps})`;
  const hint = 'for checkpoint.best checkpoints must be of steps that are evaluated';
  return [{ key: 'evaluation.everySteps', given: evaluation.everySteps, allowed, hint }];
}

function engineHasPrecision({ engine }: RunSpec): Problem[] {
  const problem = precisionProblem(engine.name, engine.precision);
  return problem === undefined ? [] : [problem];
}
