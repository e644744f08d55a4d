// Evaluates a model on faces: each is reduced by 4, enlarged by the model and bicubically, and both
// are judged by the original. What comes out is one object with every figure, and a picture.

import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Skipped } from '../../dataset/picture-source.js';
import { median } from '../../shared/median.js';
import { OperatorError } from '../../shared/problems.js';
import { sha256Of } from '../../shared/sha256.js';
import type { ObjectStore } from '../../shared/store/store.js';
import { scale } from '../../worker/data/bicubic.js';
import type { TestFace } from '../../worker/data/faces.js';
import { enlarge, type Span } from '../enlarge.js';
import { exportRun } from '../export-run.js';
import { readModel } from '../models.js';
import { loadModelFile, type LoadedNetwork } from '../onnx-network.js';
import { outputProblem, writeOutput, type OutputPlace } from '../output-file.js';
import { encodePng } from '../pictures/encode.js';
import type { Picture } from '../pictures/picture.js';
import { qualityBorder } from '../quality.js';
import {
  assess,
  summarizeFigures,
  type Enlarge,
  type FaceFigures,
  type Figures,
} from './assess.js';
import { noFaces, type FaceFiles } from './face-files.js';
import type { MeasuringNetworks } from './judge.js';

/** A model that is judged. */
export interface JudgedModel {
  /** As it was given. */
  readonly name: string;
  /** Of its ONNX file. */
  readonly sha256: string;
  /** Of the checkpoint, where the model is a run's. */
  readonly step?: number;
  readonly network: LoadedNetwork;
}

/** Loads a model's file, or one that ships; an OperatorError says what is wrong with it. */
export async function loadJudgedModel(name: string, threads: number): Promise<JudgedModel> {
  const file = await readModel(name);
  const network = await loadModelFile(file, threads);
  if (network.metadata.scale === scale) return { name, sha256: sha256Of(file.bytes), network };
  await network.close();
  const allowed = `one that enlarges by ${scale}, as the bicubic picture beside it`;
  throw new OperatorError('the model can not be evaluated', [
    { key: 'MODEL', given: `enlarges by ${network.metadata.scale}`, allowed },
  ]);
}

/** Loads the generator of a run: of a step's checkpoint, the best, or the newest whole one. */
export async function loadJudgedRun(
  store: ObjectStore,
  step: number | 'best' | undefined,
  threads: number,
): Promise<JudgedModel> {
  const folder = await mkdtemp(join(tmpdir(), 'lockstep-evaluate-'));
  try {
    const request = { store, format: 'onnx', folder, isForced: true } as const;
    const found = await exportRun(step === undefined ? request : { ...request, step });
    const model = await loadJudgedModel(found.files[0] ?? '', threads);
    return { ...model, name: store.url, step: found.step };
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** Core of a tile, a side, in pixels of the low resolution. */
const tile = 192;

/** What `upscale` makes of a picture, to the bit, as values in [-1, 1]. */
export function enlargerOf({ metadata, run }: LoadedNetwork, signal?: AbortSignal): Enlarge {
  return async (lr, width, height) => {
    const bytes = Uint8Array.from(lr, (value) => Math.round(value * 255));
    const made = new Float32Array(bytes.length * scale * scale);
    let filled = 0;
    await enlarge({
      ...{ width, height, scale, tile, margin: metadata.radius, network: run },
      readRows: ({ start, end }: Span) =>
        Promise.resolve(bytes.subarray(start * width * 3, end * width * 3)),
      writeRows: (rows) => {
        for (const value of rows) made[filled++] = value / 127.5 - 1;
        return Promise.resolve();
      },
      ...(signal === undefined ? {} : { signal }),
    });
    return made;
  };
}

type ModelOfEvaluation = Omit<JudgedModel, 'network'>;

/** All that an evaluation finds; its JSON form is what `--json` and evaluation.json have. */
export interface Evaluation {
  readonly model: ModelOfEvaluation;
  /** Models that were judged beside it; only where there are some. */
  readonly beside?: readonly ModelOfEvaluation[];
  readonly scale: number;
  /** Pixels left out on each side for PSNR and SSIM. */
  readonly border: number;
  readonly mean: Figures;
  readonly median: Figures;
  readonly faces: readonly FaceFigures[];
  readonly skipped: readonly Skipped[];
}

export interface EvaluateOptions {
  readonly faces: FaceFiles;
  /** As the operator gave them, for messages. */
  readonly location: string;
  readonly networks: MeasuringNetworks;
  /** Models that enlarge the same faces, for a comparison. */
  readonly beside?: readonly JudgedModel[];
  /** Faces in the picture. */
  readonly shown: number;
  readonly signal?: AbortSignal;
  /** Called after each picture, usable or not. */
  onPicture?(done: number): void;
  onSkipped?(skipped: Skipped): void;
}

/** Judges a model; an OperatorError when no face can be used. */
export async function evaluate(
  { network, ...model }: JudgedModel,
  options: EvaluateOptions,
): Promise<{ readonly evaluation: Evaluation; readonly grid: Picture }> {
  const { faces, networks, beside = [], shown, onPicture, signal } = options;
  const skipped: Skipped[] = [];
  let done = 0;
  const usable = async function* (): AsyncGenerator<TestFace, void, undefined> {
    for await (const file of faces.read()) {
      signal?.throwIfAborted();
      if (file.kind === 'face') yield file.face;
      else {
        skipped.push(file.skipped);
        options.onSkipped?.(file.skipped);
      }
      onPicture?.(++done);
    }
    if (skipped.length === done) throw noFaces(options.location, skipped);
  };
  const [name, ...names] = shortNames([model, ...beside].map((judged) => judged.name));
  const others = beside.map((other, i) => ({
    name: names[i],
    enlarge: enlargerOf(other.network, signal),
  }));
  const found = await assess(usable(), enlargerOf(network, signal), {
    ...{ shown, networks, beside: others },
    ...(beside.length === 0 ? {} : { name }),
  });
  const evaluation = {
    model,
    ...(beside.length === 0 ? {} : { beside: beside.map(({ network: _, ...other }) => other) }),
    ...{ scale, border: qualityBorder },
    ...{ mean: found.mean, median: summarizeFigures(found.faces, median) },
    faces: found.faces,
    skipped,
  };
  return { evaluation, grid: found.grid };
}

/** "gan" of "out/gan/model.onnx"; names as they were given where that would make two alike. */
export function shortNames(names: readonly string[]): string[] {
  const short = names.map((name) => {
    const parts = name.split('/').filter((part) => part !== '' && part !== 'model.onnx');
    return (parts.at(-1) ?? name).replace(/\.onnx$/, '');
  });
  return new Set(short).size === names.length ? short : [...names];
}

/** Where the figures of each face go, and the picture. */
const outputNames = ['evaluation.json', 'faces.png'] as const;

/** The places of the files in `folder`; an OperatorError names everything that stands there. */
export async function planOutputs(folder: string, isForced: boolean): Promise<OutputPlace[]> {
  const places = outputNames.map((name) => ({ path: join(folder, name), isForced, key: '--out' }));
  const problems = await Promise.all(places.map(outputProblem));
  const found = problems.filter((problem) => problem !== undefined);
  if (found.length > 0) throw new OperatorError('the evaluation cannot be written', found);
  return places;
}

/** Writes both files to their places. */
export async function writeOutputs(
  [figures, picture]: readonly OutputPlace[],
  evaluation: Evaluation,
  grid: Picture,
): Promise<void> {
  await writeOutput(figures, Buffer.from(`${JSON.stringify(evaluation, null, 2)}\n`));
  await writeOutput(picture, await encodePng(grid));
}
