// The worker that enlarges one picture in the browser: runs the exported model in TF.js on
// WebAssembly, tile by tile, with the same tiling as `lockstep upscale`. Told the pixels, it says
// how far it is and at last gives a PNG, or says what went wrong.

import './tf-core.min.js';
import './tf-converter.min.js';
import './tf-backend-wasm.min.js';
import { enlargeBicubic } from './bicubic.js';
import { enlarge } from './inference/enlarge.js';
import { onBackdrop } from './inference/upscale/backdrop.js';
import { encodePng } from './picture.js';

/** @typedef {import('./bicubic.js').Pixels} Pixels */

/**
 * The scripts above say what they have under this name.
 * @type {typeof import('@tensorflow/tfjs-core') & typeof import('@tensorflow/tfjs-converter') &
 *   { wasm: typeof import('@tensorflow/tfjs-backend-wasm') }}
 */
const tf = Reflect.get(globalThis, 'tf');

/** Core of a tile, a side, in input pixels: what a phone's memory holds. */
const tile = 128;

/** @param {Record<string, unknown>} message */
const tell = (message) => postMessage(message);

addEventListener('message', ({ data: pixels }) => {
  enlargePixels(pixels).then(
    (png) => tell({ kind: 'picture', png }),
    (error) => tell({ kind: 'problem', text: problemOf(error) }),
  );
});

/** @param {Pixels} pixels */
async function enlargePixels(pixels) {
  tell({ kind: 'loading' });
  const { scale, radius, network } = await loadModel();
  const { width, height } = pixels;
  const colours = coloursOf(pixels);
  // Its alpha is kept; its colours are replaced by the model's.
  const output = await enlargeBicubic(pixels, scale);
  await enlarge({
    ...{ width, height, scale, tile, margin: radius, network },
    readRows: async ({ start, end }) => colours.subarray(start * width * 3, end * width * 3),
    writeRows: async (rows, { start }) => {
      const first = start * scale * width * scale * 4;
      for (let i = 0; i * 3 < rows.length; i++)
        for (let c = 0; c < 3; c++) output.data[first + i * 4 + c] = rows[i * 3 + c];
    },
    onTile: (done, total) => tell({ kind: 'tile', done, total }),
  });
  return encodePng(output);
}

/**
 * The colours alone, [height, width, 3]; what is transparent gets those of `lockstep upscale`.
 * @param {Pixels} pixels
 */
function coloursOf({ width, data }) {
  const samples = new Uint8Array(data);
  const isOpaque = data.every((value, i) => i % 4 < 3 || value === 255);
  if (!isOpaque) return onBackdrop({ samples, width, channels: 4 });
  return samples.filter((_, i) => i % 4 < 3);
}

/** Loads the model beside the page, and TF.js's backend for it. */
async function loadModel() {
  const model = await (await fetchFile('model/model.json')).json();
  const weightData = await (await fetchFile('model/weights.bin')).arrayBuffer();
  const texts = model.userDefinedMetadata;
  // Its threads need memory that is shared, and headers that a static server does not send.
  tf.env().set('WASM_HAS_MULTITHREAD_SUPPORT', false);
  tf.wasm.setWasmPaths(new URL('./', import.meta.url).href);
  if (!(await tf.setBackend('wasm'))) throw new Error('this browser has no WebAssembly');
  const graph = await tf.loadGraphModel(
    tf.io.fromMemory({
      modelTopology: model.modelTopology,
      weightSpecs: model.weightsManifest[0].weights,
      weightData,
    }),
  );
  return {
    scale: Number(texts['lockstep.scale']),
    radius: Number(texts['lockstep.radius']),
    /** @type {import('../inference/enlarge.js').Network} */
    network: async (values, height, width) => {
      const output = tf.tidy(() => {
        const input = tf.tensor4d(values, [1, height, width, 3]);
        return /** @type {import('@tensorflow/tfjs-core').Tensor} */ (graph.predict(input));
      });
      const generated = /** @type {Float32Array} */ (await output.data());
      output.dispose();
      return generated;
    },
  };
}

/** @param {string} path */
async function fetchFile(path) {
  const response = await fetch(new URL(path, import.meta.url));
  if (!response.ok) throw new Error(`${path} can’t be loaded: ${response.status}`);
  return response;
}

/** @param {unknown} error */
function problemOf(error) {
  const text = error instanceof Error ? error.message : String(error);
  return /memory|allocation|out of bounds/i.test(text)
    ? 'The browser has no memory left for this picture. Crop it, or close other pages.'
    : `The picture could not be enlarged: ${text}.`;
}
