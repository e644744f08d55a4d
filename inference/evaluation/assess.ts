// Assesses a generator on faces that it never saw: enlarges each, compares it with the original,
// and lays out the sample picture. Training and `lockstep evaluate` judge by it.

import { scale, upsampleBicubic } from '../../worker/data/bicubic.js';
import type { TestFace } from '../../worker/data/faces.js';
import { gridOf, historyFrame, type FaceResult } from '../pictures/grid.js';
import { pictureOf, type Picture } from '../pictures/picture.js';
import { judge, meanOf, summarize, type Judgement, type MeasuringNetworks } from './judge.js';

/** Enlarges [height, width, 3] in [0, 1] by 4, to values in [-1, 1]. */
export type Enlarge = (lr: Float32Array, width: number, height: number) => Promise<Float32Array>;

/** The figures of every enlargement. */
export interface Figures {
  readonly generated: Judgement;
  readonly bicubic: Judgement;
  /** Of other models that enlarged the same faces, by name; only where there are some. */
  readonly beside?: Readonly<Record<string, Judgement>>;
}

/** How near the enlargements come to one face. */
export interface FaceFigures extends Figures {
  readonly key: string;
}

/** Each face's figures, their means, and the pictures of the first few. */
export interface Assessment {
  readonly mean: Figures;
  readonly faces: readonly FaceFigures[];
  readonly grid: Picture;
  readonly frame: Picture;
}

export interface AssessOptions {
  /** Faces that are drawn: the first ones. */
  readonly shown: number;
  /** What measures besides PSNR and SSIM. */
  readonly networks?: MeasuringNetworks;
  /** What the generated pictures are called where others stand beside them. */
  readonly name?: string;
  /** Other models, for a comparison. */
  readonly beside?: readonly { readonly name: string; readonly enlarge: Enlarge }[];
  /** Called after each face. */
  onFace?(figures: FaceFigures): void;
}

const historyFaces = 4;

/** Assesses `enlarge` over all faces, of which there must be one at least. */
export async function assess(
  faces: Iterable<TestFace> | AsyncIterable<TestFace>,
  enlarge: Enlarge,
  { shown, networks = {}, name, beside = [], onFace }: AssessOptions,
): Promise<Assessment> {
  const judged: FaceFigures[] = [];
  const results: FaceResult[] = [];
  for await (const face of faces) {
    const { original, ...made } = await picturesOf(face, enlarge);
    const others: Picture[] = [];
    for (const other of beside) others.push(await enlargedBy(other.enlarge, face));
    const [generated, bicubic, ...rest] = await judge(
      [made.generated, made.bicubic, ...others],
      original,
      networks,
    );
    const besides = beside.map((other, i) => [other.name, rest[i]] as const);
    const figures = {
      ...{ key: face.key, generated, bicubic },
      ...(beside.length === 0 ? {} : { beside: Object.fromEntries(besides) }),
    };
    judged.push(figures);
    const drawn = beside.map((other, i) => ({
      ...{ name: other.name, picture: others[i], figures: rest[i] },
    }));
    if (results.length < shown) results.push({ ...made, original, figures, beside: drawn });
    onFace?.(figures);
  }
  if (results.length === 0) throw new Error('there are no test faces to judge by');
  return {
    mean: summarizeFigures(judged, meanOf),
    faces: judged,
    grid: gridOf(results, name),
    frame: historyFrame(results.slice(0, historyFaces)),
  };
}

/** Each measure of each enlargement over the faces, summed up by `of`: a mean, a median. */
export function summarizeFigures(
  faces: readonly Figures[],
  of: (values: readonly number[]) => number,
): Figures {
  const names = Object.keys(faces[0]?.beside ?? {});
  const besides = names.map((name) => {
    const judgements = faces.flatMap(({ beside }) => beside?.[name] ?? []);
    return [name, summarize(judgements, of)] as const;
  });
  const each = (kind: 'generated' | 'bicubic'): Judgement =>
    summarize(
      faces.map((figures) => figures[kind]),
      of,
    );
  return {
    ...{ generated: each('generated'), bicubic: each('bicubic') },
    ...(names.length === 0 ? {} : { beside: Object.fromEntries(besides) }),
  };
}

async function picturesOf(
  face: TestFace,
  enlarge: Enlarge,
): Promise<Omit<FaceResult, 'figures' | 'beside'>> {
  const { width, height, hr, lr } = face;
  const small = { width: width / scale, height: height / scale };
  return {
    low: pictureOf(lr, small.width, small.height, 'unit'),
    bicubic: pictureOf(upsampleBicubic(lr, small.width, small.height), width, height, 'unit'),
    generated: await enlargedBy(enlarge, face),
    original: pictureOf(hr, width, height, 'signed'),
  };
}

async function enlargedBy(enlarge: Enlarge, { width, height, lr }: TestFace): Promise<Picture> {
  return pictureOf(await enlarge(lr, width / scale, height / scale), width, height, 'signed');
}
