// Assesses a generator on faces that it never saw: enlarges each, compares it with the original,
// and lays out the sample picture. Training and `lockstep evaluate` judge by it.

import { scale, upsampleBicubic } from '../../worker/data/bicubic.js';
import type { TestFace } from '../../worker/data/faces.js';
import { gridOf, historyFrame, type FaceResult } from '../pictures/grid.js';
import { pictureOf, type Picture } from '../pictures/picture.js';
import { judge, meanOf, summarize, type Judgement, type MeasuringNetworks } from './judge.js';

/** Enlarges [height, width, 3] in [0, 1] by 4, to values in [-1, 1]. */
export type Enlarge = (lr: Float32Array, width: number, height: number) => Promise<Float32Array>;

/** How near the generated and the bicubic enlargement come to one face. */
export interface FaceFigures {
  readonly key: string;
  readonly generated: Judgement;
  readonly bicubic: Judgement;
}

/** Means over all faces, each face's figures, and the pictures of the first few. */
export interface Assessment {
  readonly generated: Judgement;
  readonly bicubic: Judgement;
  readonly faces: readonly FaceFigures[];
  readonly grid: Picture;
  readonly frame: Picture;
}

export interface AssessOptions {
  /** Faces that are drawn: the first ones. */
  readonly shown: number;
  /** What measures besides PSNR and SSIM. */
  readonly networks?: MeasuringNetworks;
  /** Called after each face. */
  onFace?(figures: FaceFigures): void;
}

const historyFaces = 4;

/** Assesses `enlarge` over all faces, of which there must be one at least. */
export async function assess(
  faces: Iterable<TestFace> | AsyncIterable<TestFace>,
  enlarge: Enlarge,
  { shown, networks = {}, onFace }: AssessOptions,
): Promise<Assessment> {
  const judged: FaceFigures[] = [];
  const results: FaceResult[] = [];
  for await (const face of faces) {
    const pictures = await picturesOf(face, enlarge);
    const [generated, bicubic] = await judge(
      [pictures.generated, pictures.bicubic],
      pictures.original,
      networks,
    );
    const figures = { key: face.key, generated, bicubic };
    judged.push(figures);
    if (results.length < shown) results.push({ ...pictures, figures });
    onFace?.(figures);
  }
  if (results.length === 0) throw new Error('there are no test faces to judge by');
  return {
    generated: summarize(
      judged.map(({ generated }) => generated),
      meanOf,
    ),
    bicubic: summarize(
      judged.map(({ bicubic }) => bicubic),
      meanOf,
    ),
    faces: judged,
    grid: gridOf(results),
    frame: historyFrame(results.slice(0, historyFaces)),
  };
}

async function picturesOf(
  { width, height, hr, lr }: TestFace,
  enlarge: Enlarge,
): Promise<Omit<FaceResult, 'figures'>> {
  const small = { width: width / scale, height: height / scale };
  return {
    low: pictureOf(lr, small.width, small.height, 'unit'),
    bicubic: pictureOf(upsampleBicubic(lr, small.width, small.height), width, height, 'unit'),
    generated: pictureOf(await enlarge(lr, small.width, small.height), width, height, 'signed'),
    original: pictureOf(hr, width, height, 'signed'),
  };
}
