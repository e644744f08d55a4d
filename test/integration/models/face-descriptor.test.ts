// The face network against face-api itself, whose code is run here and nowhere else, on TF.js's CPU
// backend.

import * as tf from '@tensorflow/tfjs-core';
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { createRequire, Module } from 'node:module';
import { before, describe, it } from 'node:test';
import { decodePicture } from '../../../dataset/decode.js';
import { cosineDistance, createFaceDescriber } from '../../../inference/face-descriptor.js';
import { createPicture, paste, type Picture } from '../../../inference/pictures/picture.js';
import { packageFile } from '../../../shared/paths.js';
import { loadReferenceBackend } from '../../support/engine/reference-backend.js';

const require = createRequire(import.meta.url);

const picture = (path: string): Promise<Picture> =>
  decodePicture(readFileSync(packageFile(`examples/faces/${path}.jpg`)));

/** The largest square at the top left corner. */
function square({ width, height, data }: Picture): Picture {
  const side = Math.min(width, height);
  const rows = Array.from({ length: side }, (_, y) =>
    data.subarray(y * width * 3, (y * width + side) * 3),
  );
  return { width: side, height: side, data: Buffer.concat(rows) };
}

interface FaceApi {
  readonly FaceRecognitionNet: new () => {
    loadFromWeightMap(weights: tf.NamedTensorMap): void;
    forwardInput(input: { toBatchTensor(side: number): tf.Tensor4D }): tf.Tensor2D;
  };
}

/** face-api with this process's own TF.js in the place of the native one that it asks for. */
function loadFaceApi(): FaceApi {
  const loader = Module as unknown as { _load(name: string, ...rest: unknown[]): unknown };
  const load = loader._load;
  loader._load = (name, ...rest) => (name.startsWith('@tensorflow/') ? tf : load(name, ...rest));
  try {
    return require('@vladmandic/face-api/dist/face-api.node.js') as FaceApi;
  } finally {
    loader._load = load;
  }
}

function describeByFaceApi({ width, height, data }: Picture): Float32Array {
  // The methods of tensors that it uses; TF.js has them only where all of it is loaded.
  Object.assign(tf.Tensor.prototype, {
    div(this: tf.Tensor, by: number) {
      return tf.div(this, by);
    },
    mean(this: tf.Tensor, axes: number[]) {
      return tf.mean(this, axes);
    },
  });
  const folder = packageFile('node_modules/@vladmandic/face-api/model');
  const list = JSON.parse(
    readFileSync(`${folder}/face_recognition_model-weights_manifest.json`, 'utf8'),
  ) as [{ weights: tf.io.WeightsManifestEntry[] }];
  const bytes = Uint8Array.from(readFileSync(`${folder}/face_recognition_model.bin`));
  return tf.tidy(() => {
    const { FaceRecognitionNet } = loadFaceApi();
    const network = new FaceRecognitionNet();
    network.loadFromWeightMap(tf.io.decodeWeights(bytes.buffer, list[0].weights));
    const face = tf.tensor4d(Float32Array.from(data), [1, height, width, 3]);
    const toBatchTensor = (side: number) => tf.image.resizeBilinear(face, [side, side]);
    return Float32Array.from(network.forwardInput({ toBatchTensor }).dataSync());
  });
}

describe('the face descriptor', () => {
  before(loadReferenceBackend);

  it("is face-api's own", async () => {
    const face = square(await picture('female/1'));
    const faces = await createFaceDescriber(1);
    const descriptor = await faces.describe(face);
    const expected = describeByFaceApi(face);
    const worst = Math.max(...expected.map((value, i) => Math.abs(value - descriptor[i])));
    assert.ok(worst < 1e-5, `${worst}`);
    assert.equal(descriptor.length, 128);
    assert.deepEqual(await faces.describe(face), descriptor);
    await faces.close();
  });

  it('pads a picture that is not square with black', async () => {
    const face = square(await picture('male/2'));
    const part = {
      ...face,
      height: face.height - 21,
      data: face.data.subarray(0, -63 * face.width),
    };
    const padded = createPicture(face.width, face.width, [0, 0, 0]);
    paste(padded, part, 0, 10);
    const faces = await createFaceDescriber(1);
    assert.deepEqual(await faces.describe(part), await faces.describe(padded));
    assert.ok(cosineDistance(await faces.describe(part), await faces.describe(face)) > 1e-4);
    await faces.close();
  });
});
