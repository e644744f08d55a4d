// Tries one engine on one provider: a convolution, compiled and timed. `probe` does so in a process
// of its own: a driver or a library that crashes must take down neither `lockstep doctor` nor a
// set-up, and an engine's threads are set once a process.

import * as tf from '@tensorflow/tfjs-core';
import { z } from 'zod';
import { median } from '../shared/median.js';
import type { EngineName } from '../shared/spec/schema.js';
import { createEngine } from '../worker/engine/create-engine.js';
import type { Provider } from '../worker/engine/engine.js';
import { describeDeparture, runLockstep } from './processes.js';
import { parseJson } from '../shared/bounded-json.js';

export interface TrialRequest {
  readonly engine: EngineName;
  /** Undefined: the engine's own choice. */
  readonly provider: Provider | undefined;
  readonly threads: number;
}

const trialSchema = z.object({
  /** Engine, version, provider, and threads where they matter. */
  fingerprint: z.string(),
  /** Median time of the convolution. */
  milliseconds: z.number(),
  /** Billions of multiplications and additions a second. */
  gflops: z.number(),
});

/** What a trial measured. */
export type Trial = z.infer<typeof trialSchema>;

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

/** What came of a trial. */
export type ProbeResult =
  | { readonly trial: Trial; readonly failure?: undefined }
  | { readonly trial?: undefined; readonly failure: string };

const timeoutMs = 120_000;

/** Runs `lockstep doctor --engine` with these variables set; that the engine fails is a result. */
export async function probe(
  { engine, provider, threads }: TrialRequest,
  environment: Readonly<Record<string, string>> = {},
): Promise<ProbeResult> {
  const args = ['doctor', '--json', '--engine', engine, '--threads', String(threads)];
  if (provider !== undefined) args.push('--provider', provider);
  let printed = '';
  const onLine = (line: string): void => void (printed += line);
  const end = await runLockstep(args, { onLine, environment, timeoutMs });
  if (end.code === 0) return { trial: trialSchema.parse(parseJson(printed)) };
  return { failure: lastWords(end.complaint) || `the process ${describeDeparture(end)}` };
}

/** What our own process printed of its failure, without what native libraries printed before. */
export function lastWords(complaint: string): string {
  const own = complaint.lastIndexOf('lockstep: ');
  const words = own === -1 ? complaint : complaint.slice(own + 'lockstep: '.length);
  return words.trim().replace(/\s*\n\s*/g, ' ');
}
