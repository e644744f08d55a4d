// The weights that a run's generator starts from, where its spec names some (`init`): read from a
// checkpoint of another run, or from a safetensors file under Lockstep's names or PyTorch's. They
// must fit the generator tensor by tensor, and have the sum that was pinned.

import {
  isManifest,
  newestWholeCheckpoint,
  readManifest,
  readState,
} from '../shared/checkpoint/read.js';
import { manifestKey, manifestRange } from '../shared/checkpoint/manifest.js';
import {
  decodeSafetensors,
  SafetensorsFault,
  type NamedTensor,
} from '../shared/checkpoint/safetensors.js';
import {
  parseWeightsPlace,
  weightsUrl,
  type WeightsPlace,
} from '../shared/checkpoint/weights-place.js';
import { parametersForUse } from '../shared/checkpoint/state.js';
import { createLayout, sizeOf, sliceViews, type NetworkSpec } from '../shared/layout.js';
import { OperatorError, printable, type Problem } from '../shared/problems.js';
import { sha256Of } from '../shared/sha256.js';
import type { RunSpec } from '../shared/spec/schema.js';
import { openStore, type StoreOptions } from '../shared/store/open-store.js';
import { ObjectNotFound, StoreUnavailable, type ObjectStore } from '../shared/store/store.js';
import { generatorName } from '../task/srgan/generator.js';
import { fromPytorch, pytorchTensors } from '../task/srgan/pytorch.js';
import { createSrganTask } from '../task/srgan/task.js';

/** A generator's weights, flat, in the layouts of the task's network. */
export interface StartingWeights {
  /** Where they were read: a checkpoint or a file, absolute. */
  readonly url: string;
  /** Sum of the checkpoint's manifest, or of the file. */
  readonly sha256: string;
  readonly parameters: Float32Array;
  readonly statistics: Float32Array;
}

/**
 * Reads what `init` names for the generator of `spec`. An OperatorError when it is not there, not
 * whole, not what was pinned, or names every tensor that does not fit (at most a screenful);
 * StoreUnavailable when the store is away.
 */
export async function readStartingWeights(
  spec: RunSpec,
  init: NonNullable<RunSpec['init']>,
  storeOptions: StoreOptions,
): Promise<StartingWeights> {
  const place = parseWeightsPlace(init.generator, key);
  const store = openStore(place.root, storeOptions);
  try {
    const found = await readPlace(store, place, init.sha256);
    const network = generatorOf(spec);
    const isOurs = [...found.tensors.keys()].some((name) => name.startsWith(`${generatorName}/`));
    const due = isOurs ? ourTensors(network) : theirTensors(spec, network);
    const problems = fitProblems(found.tensors, due);
    if (problems.length > 0)
      throw new OperatorError(`the weights at ${found.url} do not fit the generator`, problems);
    const values = due.map((tensor) => tensor.read(found.tensors.get(tensor.name)!.data));
    requireFinite(found.url, due, values);
    const parameters = concat(values.slice(0, network.parameters.length));
    const statistics = concat(values.slice(network.parameters.length));
    return { url: found.url, sha256: found.sha256, parameters, statistics };
  } finally {
    await store.close();
  }
}

const key = 'init.generator';

/** Nothing that fits an ONNX file, which is what a generator is exported to, is larger. */
const largestFileBytes = 2 ** 31 - 1;

/** Problems that are listed; what else is wrong is counted. */
const mostProblems = 12;

interface FoundWeights {
  readonly url: string;
  readonly sha256: string;
  readonly tensors: ReadonlyMap<string, NamedTensor>;
}

async function readPlace(
  store: ObjectStore,
  place: WeightsPlace,
  pinned: string | undefined,
): Promise<FoundWeights> {
  try {
    if (place.kind === 'file') return await readFile(store, place, pinned);
    const step = place.kind === 'checkpoint' ? place.step : await newestStep(store);
    return await readCheckpoint(store, { kind: 'checkpoint', root: place.root, step }, pinned);
  } catch (error) {
    if (error instanceof StoreUnavailable || error instanceof OperatorError) throw error;
    if (!(error instanceof Error)) throw error;
    throw unreadable(place, error instanceof ObjectNotFound ? 'it is not there' : error.message);
  }
}

function unreadable(place: WeightsPlace, hint: string): OperatorError {
  const allowed =
    place.kind === 'file'
      ? 'a safetensors file of a generator'
      : 'a run with a whole checkpoint, or one of its whole checkpoints';
  const problem = { key, given: weightsUrl(place), allowed, hint: printable(hint) };
  return new OperatorError('the weights to start from can not be read', [problem]);
}

function requirePinned(url: string, sha256: string, pinned: string | undefined): void {
  if (pinned === undefined || sha256 === pinned) return;
  const hint = `what lies at ${url} has changed since`;
  const problem = { key: 'init.sha256', given: pinned, allowed: sha256, hint };
  throw new OperatorError('the weights to start from are not those that were pinned', [problem]);
}

async function readFile(
  store: ObjectStore,
  place: Extract<WeightsPlace, { kind: 'file' }>,
  pinned: string | undefined,
): Promise<FoundWeights> {
  const { bytes } = (await store.head(place.key)) ?? {};
  if (bytes === undefined) throw new ObjectNotFound(store.url, place.key);
  if (bytes > largestFileBytes)
    throw unreadable(place, `it has ${bytes} bytes, more than ${largestFileBytes}`);
  const body = await store.get(place.key, { start: 0, end: bytes });
  const [url, sha256] = [weightsUrl(place), sha256Of(body)];
  requirePinned(url, sha256, pinned);
  try {
    return { url, sha256, tensors: decodeSafetensors(body, isCounter).tensors };
  } catch (error) {
    if (!(error instanceof SafetensorsFault)) throw error;
    throw unreadable(place, error.message);
  }
}

/** PyTorch's BatchNorm counts its batches, as an int64; no picture depends on it. */
function isCounter(name: string): boolean {
  return name.endsWith('.num_batches_tracked');
}

async function newestStep(store: ObjectStore): Promise<number> {
  const { manifest, passedOver } = await newestWholeCheckpoint(store);
  if (manifest !== undefined) return manifest.step;
  const [torn] = passedOver;
  throw new Error(torn === undefined ? 'there is no checkpoint' : `none is whole: ${torn.reason}`);
}

async function readCheckpoint(
  store: ObjectStore,
  place: Extract<WeightsPlace, { kind: 'checkpoint' }>,
  pinned: string | undefined,
): Promise<FoundWeights> {
  const bytes = await store.get(manifestKey(place.step), manifestRange);
  const [url, sha256] = [weightsUrl(place), sha256Of(bytes)];
  requirePinned(url, sha256, pinned);
  const manifest = await readManifest(store, place.step);
  if (!isManifest(manifest)) throw new Error(manifest.text);
  const network = generatorOf(manifest.spec);
  const state = (await readState(store, manifest, [network])).networks[generatorName];
  const tensors = new Map<string, NamedTensor>();
  for (const [specs, vector] of [
    [network.parameters, parametersForUse(state)],
    [network.statistics, state.statistics],
  ] as const) {
    const views = sliceViews(createLayout(specs), vector);
    for (const { name, shape } of specs) tensors.set(name, { name, shape, data: views[name] });
  }
  return { url, sha256, tensors };
}

function generatorOf(spec: RunSpec): NetworkSpec {
  return createSrganTask(spec).networks.find(({ name }) => name === generatorName)!;
}

/** A tensor that must be there, and what is made of its values. */
interface DueTensor {
  readonly name: string;
  readonly shapes: readonly (readonly number[])[];
  read(values: Float32Array): Float32Array;
}

function ourTensors({ parameters, statistics }: NetworkSpec): DueTensor[] {
  return [...parameters, ...statistics].map(({ name, shape }) => {
    return { name, shapes: [shape], read: (values) => values };
  });
}

/** PyTorch's PReLU has one slope for all channels, or one for each. */
function theirTensors({ generator }: RunSpec, network: NetworkSpec): DueTensor[] {
  return pytorchTensors(generator, network).map((tensor) => {
    const { name, pytorchName, pytorchShape } = tensor;
    const shapes = name.endsWith('/slope') ? [pytorchShape, [1]] : [pytorchShape];
    const spread = (values: Float32Array): Float32Array =>
      values.length === 1 ? new Float32Array(sizeOf(pytorchShape)).fill(values[0]) : values;
    return { name: pytorchName, shapes, read: (values) => fromPytorch(tensor, spread(values)) };
  });
}

/** Every tensor that is missing, has another shape, or is one too many. */
function fitProblems(found: FoundWeights['tensors'], due: readonly DueTensor[]): Problem[] {
  const problems: Problem[] = [];
  for (const { name, shapes } of due) {
    const given = found.get(name)?.shape;
    if (given !== undefined && shapes.some((shape) => shape.join() === given.join())) continue;
    problems.push({ key: name, given, allowed: shapes.map(show).join(' or ') });
  }
  const names = new Set(due.map(({ name }) => name));
  for (const { name, shape } of found.values())
    if (!names.has(name))
      problems.push({
        key: printable(name.slice(0, 100)),
        given: shape,
        allowed: 'no such tensor in the generator of the spec',
      });
  const more = problems.length - mostProblems;
  if (more <= 0) return problems;
  return [
    ...problems.slice(0, mostProblems),
    { key, given: `${more} more like these`, allowed: 'the tensors of the generator of the spec' },
  ];
}

function show(shape: readonly number[]): string {
  return `[${shape.join(', ')}]`;
}

function requireFinite(url: string, due: readonly DueTensor[], values: Float32Array[]): void {
  const problems = due.flatMap(({ name }, i) => {
    const bad = values[i].find((value) => !Number.isFinite(value));
    return bad === undefined ? [] : [{ key: name, given: bad, allowed: 'finite numbers' }];
  });
  if (problems.length > 0)
    throw new OperatorError(`the weights at ${url} are spoiled`, problems.slice(0, mostProblems));
}

function concat(vectors: readonly Float32Array[]): Float32Array {
  const all = new Float32Array(vectors.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const vector of vectors) {
    all.set(vector, at);
    at += vector.length;
  }
  return all;
}
