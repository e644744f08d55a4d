// How near an enlargement is to the original, by every measure there is: PSNR and SSIM always, the
// distance of face descriptors and LPIPS where their networks are at hand.

import type { Picture } from '../pictures/picture.js';
import { qualityOf, type Quality } from '../quality.js';

/** Distances of one enlargement from the original; absent: not measured. */
export interface Judgement extends Quality {
  /** 1 - the cosine between the descriptors of both faces: 0 is one person's one picture. */
  readonly identity?: number;
  /** LPIPS, version 0.1 on VGG-16: 0 for equal pictures. */
  readonly lpips?: number;
}

/** The measures, in the order in which they are shown. */
export const measures = ['psnr', 'ssim', 'identity', 'lpips'] as const;
export type Measure = (typeof measures)[number];

/** Distances of pictures from the original, all of one size, in the order of the pictures. */
export type MeasureDistances = (
  pictures: readonly Picture[],
  original: Picture,
) => Promise<number[]>;

/** What measures with a network; one call at a time. */
export interface MeasuringNetworks {
  readonly identity?: MeasureDistances;
  readonly lpips?: MeasureDistances;
}

/** Judges pictures of one size, at least 19 pixels each way, by the original. */
export async function judge(
  pictures: readonly Picture[],
  original: Picture,
  { identity, lpips }: MeasuringNetworks,
): Promise<Judgement[]> {
  const identities = await identity?.(pictures, original);
  const perceived = await lpips?.(pictures, original);
  return pictures.map((picture, i) => ({
    ...qualityOf(picture, original),
    ...(identities === undefined ? {} : { identity: identities[i] }),
    ...(perceived === undefined ? {} : { lpips: perceived[i] }),
  }));
}

/** Each measure that all judgements have, summed up by `of`: a mean, a median. */
export function summarize(
  judgements: readonly Judgement[],
  of: (values: readonly number[]) => number,
): Judgement {
  const sums = measures.flatMap((measure) => {
    const values = judgements.map((judgement) => judgement[measure]);
    const known = values.filter((value) => value !== undefined);
    return known.length < values.length ? [] : [[measure, of(known)] as const];
  });
  return Object.fromEntries(sums) as unknown as Judgement;
}

/** The mean of values; NaN when there are none. */
export function meanOf(values: readonly number[]): number {
  return values.reduce((a, b) => a + b, 0) / values.length;
}
