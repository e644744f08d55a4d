// What the demo found, as numbers and as words: three enlargements of the same faces (bicubic, by
// the pixel loss, by the GAN with face features), whether they are as good as they should be, and
// the tables at the end. Pure.

import { z } from 'zod';
import { parseJson } from '../../shared/bounded-json.js';
import type { DemoFolder } from './demo-folder.js';
import type { TrainingResult } from './training.js';

/** Decibels by which the pixel model's faces have to beat bicubic ones. */
export const requiredGain = 0.5;

const kinds = ['bicubic', 'pixel', 'gan'] as const;

/** How near an enlargement comes to the originals: means over the faces. */
const qualitySchema = z.object({
  /** Decibels. */
  psnr: z.number(),
  ssim: z.number(),
  /** Distance of face descriptors, 0 for equal faces. */
  identity: z.number(),
});

type EnlargementQuality = z.infer<typeof qualitySchema>;

/** The three enlargements on the same faces. */
export type Comparison = Readonly<Record<(typeof kinds)[number], EnlargementQuality>> & {
  readonly faces: number;
};

/** Reads what `lockstep evaluate` left: the GAN's model judged, and the pixel model beside it. */
export function parseComparison(text: string): Comparison {
  const schema = z.object({
    mean: z.object({
      generated: qualitySchema,
      bicubic: qualitySchema,
      beside: z.object({ pixel: qualitySchema }),
    }),
    faces: z.array(z.unknown()),
  });
  const { mean, faces } = schema.parse(parseJson(text));
  const { pixel } = mean.beside;
  return { bicubic: mean.bicubic, pixel, gan: mean.generated, faces: faces.length };
}

/** What metrics.json holds. */
export interface DemoMetrics {
  readonly run: string;
  readonly step: number;
  readonly sha256: string;
  readonly workers: number;
  readonly images_per_s: number;
  readonly test_faces: number;
  readonly quality: Omit<Comparison, 'faces'>;
  /** Of the pixel model over bicubic. */
  readonly gain_db: number;
  readonly required_gain_db: number;
  readonly passed: boolean;
  readonly seconds: number;
  /** Every evaluation on the way, in the order of steps. */
  readonly history: readonly { step: number; psnr: number; ssim: number }[];
}

/** The metrics of a finished demo. */
export function metricsOf(
  { finished, evaluations }: TrainingResult,
  { faces, ...quality }: Comparison,
  seconds: number,
): DemoMetrics {
  const metrics = {
    run: finished.run,
    step: finished.step,
    sha256: finished.sha256,
    workers: finished.world,
    images_per_s: finished.images_per_s,
    test_faces: faces,
    quality,
    gain_db: quality.pixel.psnr - quality.bicubic.psnr,
    required_gain_db: requiredGain,
    seconds,
    history: evaluations.map(({ step, psnr, ssim }) => ({ step, psnr, ssim })),
  };
  return { ...metrics, passed: shortfalls(metrics).length === 0 };
}

/** What is not as good as it should be, a sentence each. */
export function shortfalls({
  gain_db: gain,
  required_gain_db: required,
  quality: { bicubic, gan },
}: Pick<DemoMetrics, 'gain_db' | 'required_gain_db' | 'quality'>): string[] {
  const texts: string[] = [];
  // Written so that NaN falls short.
  if (!(gain >= required))
    texts.push(
      `The pixel model's faces beat bicubic by ${gain.toFixed(2)} dB; ` +
        `${required} dB were expected.`,
    );
  if (!(gan.identity < bicubic.identity))
    texts.push(
      `The GAN's faces are as far from the originals as bicubic ones are (identity ` +
        `${gan.identity.toFixed(4)}, bicubic ${bicubic.identity.toFixed(4)}).`,
    );
  return texts;
}

type Row = readonly string[];

/** Quality of the three enlargements, as rows under a heading. */
export function qualityRows({ quality }: Pick<DemoMetrics, 'quality'>): Row[] {
  return [
    ['', 'PSNR', 'SSIM', 'identity distance'],
    ...kinds.map((kind) => {
      const { psnr, ssim, identity } = quality[kind];
      return [kind, `${psnr.toFixed(2)} dB`, ssim.toFixed(4), identity.toFixed(4)];
    }),
  ];
}

/** Where everything lies. */
export function placeRows(folder: DemoFolder): Row[] {
  return [
    ['faces, side by side', folder.faces],
    ['history of the training', folder.history],
    ['sharper: GAN with face features', folder.ganModel],
    ['nearer in pixels: pixel loss', folder.pixelModel],
    ['model for TF.js', folder.tfjsFolder],
    ['metrics', folder.metrics],
    ['the run and its checkpoints', folder.runUrl],
  ];
}

/** The next commands to try; `lockstep` is the word that starts it here. */
export function nextCommands({ ganModel }: DemoFolder, lockstep: string): string[] {
  return [
    `upscale PICTURE.jpg --model ${ganModel}`,
    'dataset pack YOUR-FACES/ file://faces',
    'train --preset demo --set dataset.url=file://faces --workers 2',
  ].map((command) => `${lockstep} ${command}`);
}
