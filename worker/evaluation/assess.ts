// Assesses a generator on faces that it never saw: enlarges each, compares it with the original,
// and lays out the sample picture.

import { gridOf, historyFrame, type FaceResult } from '../../inference/pictures/grid.js';
import { pictureOf, type Picture } from '../../inference/pictures/picture.js';
import { meanQuality, qualityOf, type Quality } from '../../inference/quality.js';
import { scale, upsampleBicubic } from '../data/bicubic.js';
import type { TestFace } from '../data/faces.js';

/** A face to compare on. */
type Face = Omit<TestFace, 'key'>;

/** Enlarges [height, width, 3] in [0, 1] by 4, to values in [-1, 1]. */
export type Enlarge = (lr: Float32Array, width: number, height: number) => Promise<Float32Array>;

/** Means over all faces, and the pictures of the first few. */
interface Assessment {
  readonly generated: Quality;
  readonly bicubic: Quality;
  readonly faces: number;
  readonly grid: Picture;
  readonly frame: Picture;
}

const historyFaces = 4;

/** Assesses `enlarge` over all faces, of which there must be one at least; `shown` are drawn. */
export async function assess(
  faces: Iterable<Face> | AsyncIterable<Face>,
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
  { width, height, hr, lr }: Face,
  enlarge: Enlarge,
): Promise<Omit<FaceResult, 'psnr'>> {
  const small = { width: width / scale, height: height / scale };
  return {
    low: pictureOf(lr, small.width, small.height, 'unit'),
    bicubic: pictureOf(upsampleBicubic(lr, small.width, small.height), width, height, 'unit'),
    generated: pictureOf(await enlarge(lr, small.width, small.height), width, height, 'signed'),
    original: pictureOf(hr, width, height, 'signed'),
  };
}
