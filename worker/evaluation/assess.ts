// Judges a generator on faces it never saw: enlarges each, compares with the original, and lays
// out the sample picture. It knows pictures and a function that enlarges; no engine, no store.

import { gridOf, historyFrame, type FaceResult } from '../../inference/pictures/grid.js';
import { pictureOf, type Picture } from '../../inference/pictures/picture.js';
import { meanQuality, qualityOf, type Quality } from '../../inference/quality.js';
import { enlargeBicubic, scale } from '../data/bicubic.js';

/** A test face: `hr` is [height, width, 3] in [-1, 1]; `lr` a quarter of each side, in [0, 1]. */
export interface EvaluationFace {
  readonly width: number;
  readonly height: number;
  readonly hr: Float32Array;
  readonly lr: Float32Array;
}

/** Enlarges [height, width, 3] in [0, 1] by 4, to values in [-1, 1]. */
export type Enlarge = (lr: Float32Array, width: number, height: number) => Promise<Float32Array>;

/** Means over all faces, and the pictures of the first few. */
export interface Assessment {
  readonly generated: Quality;
  readonly bicubic: Quality;
  readonly faces: number;
  readonly grid: Picture;
  readonly frame: Picture;
}

const historyFaces = 4;

/** Assesses `enlarge` over all faces, of which there must be one at least; `shown` are drawn. */
export async function assess(
  faces: Iterable<EvaluationFace> | AsyncIterable<EvaluationFace>,
  enlarge: Enlarge,
  shown: number,
): Promise<Assessment> {
  const generated: Quality[] = [];
  const bicubic: Quality[] = [];
  const results: FaceResult[] = [];
  for await (const face of faces) {
    const pictures = await picturesOf(face, enlarge);
    const made = qualityOf(pictures.generated, pictures.original);
    const plain = qualityOf(pictures.bicubic, pictures.original);
    generated.push(made);
    bicubic.push(plain);
    const psnr = { bicubic: plain.psnr, generated: made.psnr };
    if (results.length < shown) results.push({ ...pictures, psnr });
  }
  if (results.length === 0) throw new Error('there are no test faces to judge by');
  return {
    generated: meanQuality(generated),
    bicubic: meanQuality(bicubic),
    faces: generated.length,
    grid: gridOf(results),
    frame: historyFrame(results.slice(0, historyFaces)),
  };
}

async function picturesOf(
  face: EvaluationFace,
  enlarge: Enlarge,
): Promise<Omit<FaceResult, 'psnr'>> {
  const { width, height, hr, lr } = face;
  const small = { width: width / scale, height: height / scale };
  return {
    low: pictureOf(lr, small.width, small.height, 'unit'),
    bicubic: pictureOf(enlargeBicubic(lr, small.width, small.height), width, height, 'unit'),
    generated: pictureOf(await enlarge(lr, small.width, small.height), width, height, 'signed'),
    original: pictureOf(hr, width, height, 'signed'),
  };
}
