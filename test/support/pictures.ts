// Pictures for tests: good ones of every kind, and broken ones of every kind, made on the spot.

import sharp, { type Sharp } from 'sharp';
import { mkdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { packageFile } from '../../shared/paths.js';
import { createRandomStream } from '../../shared/random.js';

/** Folder of 72 real face photographs, 128x128, three of them grey. */
export const facesFolder = packageFile('examples/faces');

/** A noisy picture, so that no two are alike and every pixel counts. */
export function noise(width: number, height: number, seed = 1): Sharp {
  const random = createRandomStream(seed);
  const bytes = Buffer.from(
    Uint8Array.from({ length: width * height * 3 }, () => Math.floor(random.uniform() * 256)),
  );
  return sharp(bytes, { raw: { width, height, channels: 3 } });
}

/** Writes files below `folder`, making folders on the way. */
export async function writeFiles(
  folder: string,
  files: Readonly<Record<string, Uint8Array | string>>,
): Promise<void> {
  for (const [name, bytes] of Object.entries(files)) {
    await mkdir(dirname(join(folder, name)), { recursive: true });
    await writeFile(join(folder, name), bytes);
  }
}

/** Pictures that can be packed, by name; each 80x72 once upright, 72x80 for `turned.jpg`. */
export async function goodPictures(): Promise<Record<string, Uint8Array>> {
  const picture = noise(80, 72);
  const deep = await picture.clone().toColourspace('rgb16').png().toBuffer();
  return {
    'grey.jpg': await picture.clone().greyscale().jpeg().toBuffer(),
    'grey16.png': await picture.clone().toColourspace('grey16').png().toBuffer(),
    'cmyk.jpeg': await picture.clone().toColourspace('cmyk').jpeg().toBuffer(),
    'deep.png': deep,
    'alpha.png': await picture.clone().ensureAlpha(0.5).png().toBuffer(),
    'deep-alpha.PNG': await sharp(deep).ensureAlpha(0).toColourspace('rgb16').png().toBuffer(),
    'palette.gif': await picture.clone().gif().toBuffer(),
    'web.webp': await picture.clone().webp().toBuffer(),
    'film.tiff': await picture.clone().tiff().toBuffer(),
    'next.avif': await picture.clone().avif().toBuffer(),
    'turned.jpg': await picture.clone().withMetadata({ orientation: 6 }).jpeg().toBuffer(),
    'deep/er/first.v2.jpg': await picture.clone().jpeg().toBuffer(),
  };
}

/** Files that must be left out, by name, each with what the reason must say. */
export async function badPictures(): Promise<
  Record<string, { readonly bytes: Uint8Array; readonly reason: RegExp }>
> {
  const picture = noise(80, 72, 2);
  const cut = (bytes: Buffer): Buffer => bytes.subarray(0, Math.floor(bytes.length * 0.7));
  const jpeg = await picture.clone().jpeg().toBuffer();
  const png = await picture.clone().png().toBuffer();
  const damaged = Buffer.from(png);
  damaged.fill(0x5a, png.length >> 1, (png.length >> 1) + 64);
  const svg = '<svg xmlns="http://www.w3.org/2000/svg" width="99" height="99"><rect/></svg>';
  const huge = { width: 9000, height: 9000, channels: 3, background: '#123' } as const;
  return {
    'empty.jpg': { bytes: Buffer.alloc(0), reason: /^zero bytes$/ },
    'cut-jpg.jpg': { bytes: cut(jpeg), reason: /^truncated/ },
    'cut-gif.gif': { bytes: cut(await picture.clone().gif().toBuffer()), reason: /^truncated/ },
    'cut-png.png': { bytes: cut(png), reason: /broken/ },
    'cut-webp.webp': { bytes: cut(await picture.clone().webp().toBuffer()), reason: /broken/ },
    'cut-avif.avif': { bytes: cut(await picture.clone().avif().toBuffer()), reason: /^truncated/ },
    'header.jpeg': { bytes: jpeg.subarray(0, 40), reason: /^truncated/ },
    'damaged.png': { bytes: damaged, reason: /broken/ },
    // Of HEVC's brand, as phones write it; the bytes behind that are no one's.
    'phone.jpg': {
      bytes: Buffer.from('\0\0\0\x18ftypheic\0\0\0\0mif1heic\0\0\0\x08meta', 'latin1'),
      reason: /^HEIC is not read: convert it/,
    },
    'paint.png': {
      bytes: Buffer.from(`BM\x36\x30${'\0'.repeat(60)}`, 'latin1'),
      reason: /^BMP is not read: convert it/,
    },
    'IMG_1.HEIC': { bytes: Buffer.from('any'), reason: /^HEIC is not read: convert it/ },
    'words.jpg': { bytes: Buffer.from('not a picture'), reason: /^not a picture: its bytes/ },
    'drawing.png': { bytes: Buffer.from(svg), reason: /^not a picture: svg/ },
    'notes.txt': { bytes: Buffer.from('hello'), reason: /^not a picture: its name/ },
    'tiny.png': {
      bytes: await noise(63, 200).png().toBuffer(),
      reason: /^too small: 63x200/,
    },
    'huge.png': {
      bytes: await sharp({ create: huge }).png().toBuffer(),
      reason: /^larger than \d+ pixels$/,
    },
  };
}
