// Measures what task/features/face-scales.ts says: how far apart a face and its bicubic enlargement
// from a quarter are at each layer of the face network, against their distance in pixels.
//
//   node dist/bench/feature-scales.js FACES-FOLDER > scales.txt

import type { Tensor4D } from '@tensorflow/tfjs-core';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { decodePicture } from '../dataset/decode.js';
import { takeTensors } from '../shared/weights/frozen-weights.js';
import { readFaceWeights } from '../shared/weights/face-weights.js';
import { sizeOf } from '../shared/layout.js';
import { extractFeatures, type FeaturePlace } from '../task/features/feature-network.js';
import { faceNetwork, faceWeights } from '../task/features/face.js';
import type { NamedTensors } from '../task/task.js';
import { trace } from '../trace/trace.js';
import { scale, upsampleBicubic } from '../worker/data/bicubic.js';
import { writePatch } from '../worker/data/patch.js';
import { createOnnxEngine } from '../worker/engine/onnx-engine.js';

/** Pixels of a face's shorter side, and of the square cut out of its middle. */
const side = 256;

const places = faceNetwork.stages.flatMap(({ layer }): FeaturePlace[] => [
  { layer, activation: 'before' },
  { layer, activation: 'after' },
]);
const nameOf = ({ layer, activation }: FeaturePlace): string => `${layer} ${activation}`;

/** Mean squared and mean absolute difference, one added to the other over all faces. */
type Distances = Record<string, { mse: number; mae: number }>;

function addDistance(into: Distances, name: string, a: Float32Array, b: Float32Array): void {
  const found = (into[name] ??= { mse: 0, mae: 0 });
  for (let i = 0; i < a.length; i++) {
    found.mse += (a[i] - b[i]) ** 2 / a.length;
    found.mae += Math.abs(a[i] - b[i]) / a.length;
  }
}

/** The face and its enlargement, both [side, side, 3] in [-1, 1]. */
async function readPair(path: string): Promise<{ original: Float32Array; bicubic: Float32Array }> {
  const picture = await decodePicture(readFileSync(path), ({ width, height }) => {
    const factor = side / Math.min(width, height);
    return { width: Math.round(width * factor), height: Math.round(height * factor) };
  });
  const [x, y] = [picture.width, picture.height].map((extent) => Math.floor((extent - side) / 2));
  const original = new Float32Array(side * side * 3);
  const low = new Float32Array(original.length / scale ** 2);
  writePatch(picture, { x, y, side, flipped: false }, original, low, 0);
  const bicubic = upsampleBicubic(low, side / scale, side / scale).map((value) => value * 2 - 1);
  return { original, bicubic };
}

/** Gives what a picture's features are at each of the places, by their names. */
async function createDescriber() {
  const unscaled = { ...faceNetwork, scale: () => 1 };
  const inputs = [{ name: 'pictures', shape: [1, side, side, 3] }, ...faceWeights];
  const run = (tensors: NamedTensors): NamedTensors => {
    const features = extractFeatures(unscaled, tensors['pictures'] as Tensor4D, tensors, places);
    return Object.fromEntries(places.map((place, i) => [nameOf(place), features[i]]));
  };
  const { outputs, values } = trace(inputs, run);
  const weights = takeTensors(await readFaceWeights(), faceWeights);
  const compiled = await createOnnxEngine({ threads: 1 }).compile(inputs, run);
  return async (pictures: Float32Array): Promise<Record<string, Float32Array>> => {
    const empty = (value: number) => new Float32Array(sizeOf(values[value].shape));
    const features = Object.fromEntries(outputs.map(({ name, value }) => [name, empty(value)]));
    await compiled.run({ ...weights, pictures }, features);
    return features;
  };
}

async function measure(folder: string): Promise<string> {
  const describe = await createDescriber();
  const distances: Distances = {};
  const files = readdirSync(folder).filter((file) => /\.jpe?g$/i.test(file));
  for (const file of files) {
    const { original, bicubic } = await readPair(join(folder, file));
    const [a, b] = [await describe(original), await describe(bicubic)];
    addDistance(distances, 'pixels', original, bicubic);
    for (const name of places.map(nameOf)) addDistance(distances, name, a[name], b[name]);
  }
  const { pixels } = distances;
  const lines = places.map(nameOf).map((name) => {
    const { mse, mae } = distances[name];
    const factor = Math.sqrt(pixels.mse / mse);
    const share = (mae * factor) / pixels.mae;
    return `${name}: ${factor.toPrecision(3)}; mae then ${share.toFixed(2)}`;
  });
  const { mse, mae } = pixels;
  const count = files.length;
  return [`${count} faces; pixels: mse ${mse / count}, mae ${mae / count}`, ...lines].join('\n');
}

process.stdout.write(`${await measure(process.argv[2] ?? 'examples/faces')}\n`);
