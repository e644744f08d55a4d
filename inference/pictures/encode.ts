// Pictures to and from PNG files. Sizes are bounded before a pixel is unpacked.

import sharp from 'sharp';
import type { Picture } from './picture.js';

const largestPixels = 64 * 1024 * 1024;

/** The picture as a PNG file. */
export async function encodePng(picture: Picture): Promise<Buffer> {
  const { width, height, data } = picture;
  return await sharp(data, { raw: { width, height, channels: 3 } })
    .png({ compressionLevel: 9 })
    .toBuffer();
}

/** A picture file's pixels as 8-bit RGB; transparent ones on white. */
export async function decodePicture(file: Uint8Array): Promise<Picture> {
  const { data, info } = await sharp(file, { limitInputPixels: largestPixels })
    .flatten({ background: '#fff' })
    .toColourspace('srgb')
    .raw()
    .toBuffer({ resolveWithObject: true });
  if (info.channels !== 3) throw new Error(`${info.channels} channels, where 3 were expected`);
  return { width: info.width, height: info.height, data };
}
