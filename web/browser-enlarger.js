// Enlarges in the browser: a worker of its own for each picture, so that all of its memory is given
// back at the end, and a cancelled one ends at once.

/** @typedef {import('./page.js').Enlarger} Enlarger */

/** @type {Enlarger} */
export function enlargePicture({ pixels, onProgress, signal }) {
  const worker = new Worker(new URL('enlarging-worker.js', import.meta.url), { type: 'module' });
  /** @type {Promise<Blob>} */
  const picture = new Promise((resolve, reject) => {
    signal.addEventListener('abort', () => reject(signal.reason), { once: true });
    worker.addEventListener('error', ({ message }) =>
      reject(new Error(`The worker has failed: ${message || 'one of its files can’t be loaded'}`)),
    );
    worker.addEventListener('message', ({ data }) => {
      if (data.kind === 'picture') resolve(data.png);
      else if (data.kind === 'problem') reject(new Error(data.text));
      else onProgress(data);
    });
    worker.postMessage(pixels);
  });
  return picture.finally(() => worker.terminate());
}
