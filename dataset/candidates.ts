// Which listed files are taken for pictures, under which key, in which order; and whether one can
// be a sample: read whole, decoded whole, and large enough.

import { maxPictureBytes } from './dataset-index.js';
import { decodePicture, PictureError, type Size } from './decode.js';
import { pictureEndings, unreadEnding } from './picture-formats.js';
import type { Listing, PictureSource, Skipped, SourceFile } from './picture-source.js';

const maxKeyLength = 512;
const picturePath = new RegExp(`^(.*[^/])\\.(${pictureEndings.join('|')})$`, 'is');

/** A file that may be a picture. */
export interface Candidate {
  readonly file: SourceFile;
  /**
   * Its path without the ending: the sample's identity. In Unicode's composed form (NFC), since
   * the same folder has one form on some file systems, and another on others.
   */
  readonly key: string;
  /** Lower case, without the dot. */
  readonly ending: string;
}

interface Candidates {
  /** In the order of their keys (by UTF-16 code units, as `<` compares). */
  readonly candidates: readonly Candidate[];
  readonly skipped: readonly Skipped[];
}

/** Sorts a listing into candidates and skipped files; of two with one key the first is taken. */
export function chooseCandidates(listing: Listing): Candidates {
  const candidates: Candidate[] = [];
  const skipped = [...listing.skipped];
  for (const file of listing.files) {
    const judged = judge(file);
    if (typeof judged === 'string') skipped.push({ file: file.path, reason: judged });
    else candidates.push(judged);
  }
  candidates.sort((a, b) => compare(a.key, b.key) || compare(a.file.path, b.file.path));
  return { candidates: firstOfEach(candidates, skipped), skipped };
}

/** The candidate a file is, or why it is none. */
function judge(file: SourceFile): Candidate | string {
  const match = picturePath.exec(file.path);
  if (!match)
    return (
      unreadEnding(file.path) ??
      `not a picture: its name ends in none of ${pictureEndings.join(', ')}`
    );
  const [, path, ending] = match;
  const key = path.normalize('NFC');
  if (key.length > maxKeyLength) return `its path is longer than ${maxKeyLength} characters`;
  if (key.split('/').some((part) => part === '' || part === '.' || part === '..'))
    return 'its path has a part that is empty, "." or ".."';
  if (file.bytes === 0) return 'zero bytes';
  if (file.bytes > maxPictureBytes) return `larger than ${maxPictureBytes} bytes`;
  return { file, key, ending: ending.toLowerCase() };
}

/** The first candidate of each key; the others are added to `skipped`, since one would be lost. */
function firstOfEach(sorted: readonly Candidate[], skipped: Skipped[]): Candidate[] {
  const taken: Candidate[] = [];
  for (const candidate of sorted) {
    const before = taken.at(-1);
    if (before?.key !== candidate.key) taken.push(candidate);
    else skipped.push({ file: candidate.file.path, reason: sameName(before) });
  }
  return taken;
}

function sameName({ file }: Candidate): string {
  const same = `its name is that of ${JSON.stringify(file.path)}`;
  return `${same} but for the ending or the form of its letters: rename it to keep both`;
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

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
    if (Math.min(width, height) < minSize)
      throw new PictureError(
        `too small: ${width}x${height}, and each side needs at least ${minSize} pixels`,
      );
    if (Math.max(width, height) > maxSide) throw new PictureError(`too long: ${width}x${height}`);
    return { kind: 'picture', candidate, body, size: { width, height } };
  } catch (error) {
    if (!(error instanceof PictureError)) throw error;
    return { kind: 'skipped', file: candidate.file.path, reason: error.message };
  }
}
