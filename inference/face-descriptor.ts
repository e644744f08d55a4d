// The identity of a face as 128 numbers, for comparing: pictures in, descriptors out, with ONNX
// Runtime. Faces are aligned crops already; nothing is searched in the picture.

import type { Tensor4D } from '@tensorflow/tfjs-core';
import { InferenceSession, Tensor } from 'onnxruntime-node';
import { readFaceWeights } from '../shared/weights/face-weights.js';
import { takeTensors } from '../shared/weights/frozen-weights.js';
import {
  describedSide,
  describeFaces,
  descriptorLength,
  faceWeights,
} from '../task/features/face.js';
import type { NamedTensors } from '../task/task.js';
import { lowerToOnnx } from '../trace/lower/onnx/lower.js';
import { trace } from '../trace/trace.js';
import type { Picture } from './pictures/picture.js';

/** Describes faces one at a time; owns ONNX Runtime's session until `close`. */
export interface FaceDescriber {
  /** The descriptor of a face, 128 numbers. Any size; a picture that is not square is padded. */
  describe(face: Picture): Promise<Float32Array>;
  close(): Promise<void>;
}

const [input, output] = ['faces', 'descriptors'];

/**
 * Makes the network ready, which takes about a second; the bytes do not depend on `threads`. An
 * OperatorError when its weights are not installed.
 *
 *     const faces = await createFaceDescriber(1);
 *     const distance = cosineDistance(await faces.describe(a), await faces.describe(b));
 *     await faces.close();
 */
export async function createFaceDescriber(threads: number): Promise<FaceDescriber> {
  const embed = takeTensors(await readFaceWeights(), faceWeights);
  const shape = [1, describedSide, describedSide, 3];
  const graph = trace([{ name: input, shape }, ...faceWeights], (tensors: NamedTensors) => ({
    [output]: describeFaces(tensors[input] as Tensor4D, tensors),
  }));
  const session = await InferenceSession.create(lowerToOnnx(graph, { embed }), {
    intraOpNumThreads: threads,
    interOpNumThreads: 1,
    logSeverityLevel: 3,
  });
  return {
    describe: async (face) => {
      const faces = new Tensor('float32', pixelsOf(face), shape);
      const { data } = (await session.run({ [input]: faces }))[output];
      if (data.length !== descriptorLength) throw new Error('a descriptor of another length');
      return Float32Array.from(data as Float32Array);
    },
    close: () => session.release(),
  };
}

/** 1 - cos of the angle between two descriptors: 0 for the same direction, at most 2. */
export function cosineDistance(a: Float32Array, b: Float32Array): number {
  let [dot, left, right] = [0, 0, 0];
  for (let i = 0; i < a.length; i++) {
    dot += a[i] * b[i];
    left += a[i] * a[i];
    right += b[i] * b[i];
  }
  return 1 - dot / Math.sqrt(left * right);
}

/** As face-api does it: black along the shorter side, then bilinear from the top left corner. */
function pixelsOf({ width, height, data }: Picture): Float32Array {
  const side = Math.max(width, height);
  const [left, top] = [width, height].map((extent) => Math.floor((side - extent) / 2));
  const at = (y: number, x: number, colour: number): number => {
    const [row, column] = [y - top, x - left];
    const isInside = row >= 0 && row < height && column >= 0 && column < width;
    return isInside ? data[(row * width + column) * 3 + colour] : 0;
  };
  const pixels = new Float32Array(describedSide * describedSide * 3);
  const step = side / describedSide;
  for (let i = 0; i < pixels.length; i++) {
    const pixel = Math.floor(i / 3);
    const [y, x] = [Math.floor(pixel / describedSide) * step, (pixel % describedSide) * step];
    const [y0, x0] = [Math.floor(y), Math.floor(x)];
    const [y1, x1] = [Math.min(y0 + 1, side - 1), Math.min(x0 + 1, side - 1)];
    const mix = (a: number, b: number, share: number): number => a + (b - a) * share;
    const upper = mix(at(y0, x0, i % 3), at(y0, x1, i % 3), x - x0);
    const lower = mix(at(y1, x0, i % 3), at(y1, x1, i % 3), x - x0);
    pixels[i] = mix(upper, lower, y - y0) / 127.5 - 1;
  }
  return pixels;
}
