// The faces that `lockstep evaluate` judges by: pictures of a folder, one picture, the samples of a
// packed dataset, or a run's own held-out faces. A picture that can't be used is named, not fatal.

import { stat } from 'node:fs/promises';
import { basename, dirname } from 'node:path';
import { chooseCandidates, type Candidate } from '../../dataset/candidates.js';
import { indexKey, readDatasetIndex } from '../../dataset/dataset-index.js';
import { decodePicture, PictureError, type Pixels } from '../../dataset/decode.js';
import { mapInOrder } from '../../dataset/map-in-order.js';
import { pictureEndings } from '../../dataset/picture-formats.js';
import {
  openPictureSource,
  type PictureSource,
  type Skipped,
} from '../../dataset/picture-source.js';
import { resizedSize, splitSamples } from '../../dataset/samples.js';
import { OperatorError } from '../../shared/problems.js';
import type { RunSpec } from '../../shared/spec/schema.js';
import { openStore, type StoreOptions } from '../../shared/store/open-store.js';
import { parsePlaceOrPath } from '../../shared/store/places.js';
import { createSampleReader, placeOf, SampleError } from '../../worker/data/sample-reader.js';
import { cutFace, type TestFace } from '../../worker/data/faces.js';

/** Longest side of a face; SSIM holds a dozen planes of doubles of its size. */
const longestSide = 4096;

/** Least side: SSIM's window of 11 within a border of 4. */
const leastSide = 20;

const readsAhead = 2;

/** A face, or a picture that can't be one, and why. */
export type FaceFile =
  | { readonly kind: 'face'; readonly face: TestFace }
  | { readonly kind: 'skipped'; readonly skipped: Skipped };

/** Faces to read one after the other. */
export interface FaceFiles {
  /** Pictures there are, those that can't be used included. */
  readonly total: number;
  read(): AsyncGenerator<FaceFile, void, undefined>;
  close(): Promise<void>;
}

export interface FaceChoice {
  /** Pictures at most, the first by name; undefined: all. */
  readonly limit: number | undefined;
  /** Pixels of the shorter side that pictures are scaled to; 0: not scaled. */
  readonly resize: number;
  readonly storeOptions: StoreOptions;
}

/** Opens a picture, a folder of pictures or a packed dataset; an OperatorError where none is. */
export async function openFaceFiles(location: string, choice: FaceChoice): Promise<FaceFiles> {
  const file = await stat(location).catch(() => undefined);
  if (file?.isFile() === true) return openPictures(dirname(location), choice, basename(location));
  const { url } = parsePlaceOrPath(location, 'FACES');
  const store = openStore(url, choice.storeOptions);
  const isDataset = (await store.head(indexKey).catch(() => undefined)) !== undefined;
  await store.close();
  return isDataset ? openDataset(url, choice) : openPictures(location, choice);
}

/** Opens the faces that a run does not train on, as its spec says which. */
export function openHeldOutFaces({ dataset, evaluation }: RunSpec, choice: FaceChoice) {
  const { testFraction, splitBy, indexSha256, resize } = dataset;
  const limit = choice.limit ?? evaluation.limit;
  return openDataset(
    dataset.url,
    { ...choice, limit, resize: choice.resize === 0 ? resize : choice.resize },
    { testFraction, splitBy, indexSha256 },
  );
}

type Split = Pick<RunSpec['dataset'], 'testFraction' | 'splitBy' | 'indexSha256'>;

async function openDataset(url: string, choice: FaceChoice, split?: Split): Promise<FaceFiles> {
  const store = openStore(url, choice.storeOptions);
  const { index } = await readDatasetIndex(store, split?.indexSha256);
  const samples =
    split === undefined
      ? index.samples
      : splitSamples(index, split.testFraction, split.splitBy).test;
  const reader = createSampleReader({ store, resize: choice.resize, cacheBytes: 0 });
  const chosen = samples.slice(0, choice.limit).map((sample) => placeOf(index, sample));
  const read = (): AsyncGenerator<FaceFile, void, undefined> =>
    mapInOrder(chosen, readsAhead, (place) => {
      return faceOr(place.key, () => reader.read(place));
    });
  return { total: chosen.length, read, close: () => store.close() };
}

async function openPictures(folder: string, choice: FaceChoice, only?: string): Promise<FaceFiles> {
  const source = await openPictureSource(folder, choice.storeOptions);
  const { files, skipped: left } = await source.list();
  const listing =
    only === undefined
      ? { files, skipped: left }
      : { files: files.filter(({ path }) => path === only), skipped: [] };
  const { candidates, skipped } = chooseCandidates(listing);
  const broken = skipped.filter(({ file }) => only !== undefined || isNamedAsPicture(file));
  const chosen = candidates.slice(0, choice.limit);
  const read = async function* (): AsyncGenerator<FaceFile, void, undefined> {
    yield* broken.map((entry): FaceFile => ({ kind: 'skipped', skipped: entry }));
    yield* mapInOrder(chosen, readsAhead, (candidate) =>
      faceOr(
        candidate.file.path,
        () => readPicture(source, candidate, choice.resize),
        candidate.key,
      ),
    );
  };
  return { total: broken.length + chosen.length, read, close: () => source.close() };
}

const isNamedAsPicture = (file: string): boolean =>
  pictureEndings.some((ending) => file.toLowerCase().endsWith(`.${ending}`));

async function readPicture(
  source: PictureSource,
  { file }: Candidate,
  resize: number,
): Promise<Pixels> {
  const bytes = await source.read(file);
  return decodePicture(bytes, (size) => resizedSize(size, resize));
}

/** The face of a picture; what a reader or decoder says against it is the reason to skip it. */
async function faceOr(file: string, read: () => Promise<Pixels>, key = file): Promise<FaceFile> {
  try {
    return { kind: 'face', face: faceOf(key, await read()) };
  } catch (error) {
    if (!(error instanceof PictureError || error instanceof SampleError)) throw error;
    const reason = error instanceof SampleError ? error.reason : error.message;
    return { kind: 'skipped', skipped: { file, reason } };
  }
}

function faceOf(key: string, pixels: Pixels): TestFace {
  const { width, height } = pixels;
  const size = `${width}x${height} pixels`;
  if (Math.min(width, height) < leastSide)
    throw new PictureError(`${size}: each side needs at least ${leastSide}`);
  if (Math.max(width, height) > longestSide)
    throw new PictureError(`${size}: more than ${longestSide} a side; --resize scales it down`);
  const face = cutFace(key, pixels, longestSide);
  if (face === undefined) throw new Error(`${size} were found large enough`);
  return face;
}

/** Says that there was nothing to judge by. */
export function noFaces(location: string, skipped: readonly Skipped[]): OperatorError {
  return new OperatorError('there is no face to judge by', [
    {
      key: 'FACES',
      given: location,
      allowed: 'a picture, a folder of pictures, or a packed dataset',
      ...(skipped.length === 0 ? {} : { hint: `${skipped[0].file}: ${skipped[0].reason}` }),
    },
  ]);
}
