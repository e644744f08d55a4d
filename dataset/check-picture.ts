// Whether a picture can be a sample: read whole, decoded whole, and large enough.

import { decodePicture, PictureError, type Size } from './decode.js';
import type { Candidate } from './candidates.js';
import type { PictureSource } from './picture-source.js';

const maxSide = 65_535;

/** A candidate with its bytes, or why it is left out. */
export type Checked =
  | {
      readonly kind: 'picture';
      readonly candidate: Candidate;
      readonly body: Buffer;
      readonly size: Size;
    }
  | { readonly kind: 'skipped'; readonly file: string; readonly reason: string };

/** Reads and decodes a candidate; rejects only when the source itself can't be read. */
export async function checkPicture(
  source: PictureSource,
  candidate: Candidate,
  minSize: number,
): Promise<Checked> {
  try {
    const body = await source.read(candidate.file);
    const { width, height } = await decodePicture(body);
    const fault = sizeFault({ width, height }, minSize);
    if (fault !== undefined) throw new PictureError(fault);
    return { kind: 'picture', candidate, body, size: { width, height } };
  } catch (error) {
    if (!(error instanceof PictureError)) throw error;
    return { kind: 'skipped', file: candidate.file.path, reason: error.message };
  }
}

/** Why a picture of that size is left out; undefined when it is not. */
export function sizeFault({ width, height }: Size, minSize: number): string | undefined {
  if (Math.min(width, height) < minSize)
    return `too small: ${width}x${height}, and each side needs at least ${minSize} pixels`;
  if (Math.max(width, height) > maxSide) return `too long: ${width}x${height}`;
  return undefined;
}
