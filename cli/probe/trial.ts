// Tries one engine on one provider: a convolution, compiled and timed.

import * as tf from '@tensorflow/tfjs-core';
import { median } from '../../shared/median.js';
import type { EngineName } from '../../shared/spec/schema.js';
import { createEngine } from '../../worker/engine/create-engine.js';
import type { Provider } from '../../worker/engine/engine.js';

export interface TrialRequest {
  readonly engine: EngineName;
  /** Undefined: the engine's own choice. */
  readonly provider: Provider | undefined;
  readonly threads: number;
}

export interface Trial {
  /** Engine, version, provider, and threads where they matter. */
  readonly fingerprint: string;
  /** Median time of the convolution. */
  readonly milliseconds: number;
  /** Billions of multiplications and additions a second. */
  readonly gflops: number;
}

/** [n, h, w, c] by [h, w, in, out]: a convolution of the paper's generator on one crop. */
const image = [1, 96, 96, 64];
const filter = [3, 3, 64, 64];
const product = (extents: readonly number[]): number => extents.reduce((a, b) => a * b, 1);
const operations = 2 * product(image) * product(filter.slice(0, 3));
const repetitions = 9;

/** What the trial is, for a person. */
export const trialWords = 'a convolution of 3x3, 64 channels, on 96x96 pixels';

/** Runs the trial; throws what the engine throws. */
export async function tryEngine({ engine: name, ...options }: TrialRequest): Promise<Trial> {
  const engine = await createEngine(name, options);
  const inputs = [
    { name: 'x', shape: image },
    { name: 'w', shape: filter },
  ];
  const convolution = await engine.compile(inputs, ({ x, w }) => ({
    y: tf.conv2d(x as tf.Tensor4D, w as tf.Tensor4D, 1, 'same'),
  }));
  const ones = (shape: readonly number[]) => new Float32Array(product(shape)).fill(1);
  const [feeds, y] = [{ x: ones(image), w: ones(filter) }, ones(image)];
  const times: number[] = [];
  for (let i = 0; i < repetitions; i++) {
    const start = performance.now();
    await convolution.run(feeds, { y });
    times.push(performance.now() - start);
  }
  await convolution.close();
  // Ones summed over a whole 3x3 window of 64 channels, away from the border.
  const middle = y[(48 * 96 + 48) * 64];
  if (middle !== 9 * 64) throw new Error(`the convolution gave ${middle}, not ${9 * 64}`);
  const milliseconds = median(times);
  return {
    fingerprint: engine.fingerprint,
    milliseconds: Math.round(milliseconds * 100) / 100,
    gflops: Math.round(operations / milliseconds / 1e4) / 100,
  };
}
