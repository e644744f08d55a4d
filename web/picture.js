// Pictures as the browser knows them: a file decoded to pixels, within limits, and pixels as a PNG.
// Decoding is the browser's: upright by EXIF, in sRGB, 8 bits a sample. Pixels of an opaque sRGB
// PNG are exact; a canvas keeps the colours of what is nearly transparent only roughly.

/** @typedef {import('./bicubic.js').Pixels} Pixels */

/**
 * @typedef {object} Limits
 * @property {number} bytes Of a file.
 * @property {number} pixels Of a picture.
 * @property {number} side The longer one, in pixels.
 */

/** What is wrong with a picture, in words for the person who gave it. */
export class PictureProblem extends Error {}

/**
 * Decodes a picture; a PictureProblem says why it can't be used.
 * @param {Blob} file
 * @param {Limits} limits
 * @returns {Promise<Pixels>} RGBA, not premultiplied.
 */
export async function decodePicture(file, limits) {
  if (file.size === 0) throw new PictureProblem('This file is empty.');
  if (file.size > limits.bytes)
    throw new PictureProblem(
      `This file has ${megabytes(file.size)} MB; at most ${megabytes(limits.bytes)} are taken.`,
    );
  const bitmap = await createImageBitmap(file).catch(() => {
    throw new PictureProblem(
      'The browser can’t read this as a picture. JPEG, PNG, WebP, AVIF and GIF are read; a HEIC ' +
        'or TIFF has to be converted first.',
    );
  });
  try {
    const { width, height } = bitmap;
    checkSize(width, height, limits);
    const context = contextOf(width, height);
    context.drawImage(bitmap, 0, 0);
    return context.getImageData(0, 0, width, height);
  } finally {
    bitmap.close();
  }
}

/**
 * @param {number} width
 * @param {number} height
 * @param {Limits} limits
 */
function checkSize(width, height, limits) {
  if (width * height <= limits.pixels && Math.max(width, height) <= limits.side) return;
  throw new PictureProblem(
    `This picture has ${width} × ${height} pixels; at most ${limits.pixels.toLocaleString('en')} ` +
      `are taken, and sides of at most ${limits.side}. Crop it to the face, or use “lockstep ` +
      'upscale”, which takes any size.',
  );
}

/**
 * The pixels as a PNG file.
 * @param {Pixels} pixels
 * @returns {Promise<Blob>}
 */
export async function encodePng({ width, height, data }) {
  const context = contextOf(width, height);
  const bytes = /** @type {Uint8ClampedArray<ArrayBuffer>} */ (data);
  context.putImageData(new ImageData(bytes, width, height), 0, 0);
  return context.canvas.convertToBlob({ type: 'image/png' });
}

/**
 * @param {number} width
 * @param {number} height
 */
function contextOf(width, height) {
  const canvas = new OffscreenCanvas(width, height);
  const context = canvas.getContext('2d', { willReadFrequently: true });
  if (context === null) throw new PictureProblem('The browser has no memory for this picture.');
  return context;
}

/** @param {number} bytes */
function megabytes(bytes) {
  return (bytes / 2 ** 20).toLocaleString('en', { maximumFractionDigits: 1 });
}
