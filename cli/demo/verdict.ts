// What the demo found, as numbers and as words: better than bicubic or not, and the table at the
// end. Pure.

import type { DemoFolder } from './demo-folder.js';
import type { EvaluationLine, FinishedLine } from './training.js';

/** Decibels by which the generated faces have to beat bicubic ones. */
export const requiredGain = 0.5;

/** What metrics.json holds. */
export interface DemoMetrics {
  readonly run: string;
  readonly step: number;
  readonly sha256: string;
  readonly workers: number;
  readonly images_per_s: number;
  readonly test_faces: number | undefined;
  readonly psnr: number;
  readonly ssim: number;
  readonly bicubic_psnr: number;
  readonly bicubic_ssim: number;
  readonly gain_db: number;
  readonly required_gain_db: number;
  readonly passed: boolean;
  readonly seconds: number;
  /** Every evaluation on the way, in the order of steps. */
  readonly history: readonly { step: number; psnr: number; ssim: number }[];
}

/** The metrics of a finished demo; `evaluations` in the order of steps, the last one's count. */
export function metricsOf(
  finished: FinishedLine,
  evaluations: readonly EvaluationLine[],
  seconds: number,
): DemoMetrics {
  const last = evaluations.at(-1);
  if (last === undefined || last.step !== finished.step)
    throw new Error(`the run ended at step ${finished.step} without an evaluation of it`);
  const gain = last.psnr - last.bicubic_psnr;
  return {
    run: finished.run,
    step: finished.step,
    sha256: finished.sha256,
    workers: finished.world,
    images_per_s: finished.images_per_s,
    test_faces: last.faces,
    psnr: last.psnr,
    ssim: last.ssim,
    bicubic_psnr: last.bicubic_psnr,
    bicubic_ssim: last.bicubic_ssim,
    gain_db: gain,
    required_gain_db: requiredGain,
    passed: gain >= requiredGain,
    seconds,
    history: evaluations.map(({ step, psnr, ssim }) => ({ step, psnr, ssim })),
  };
}

type Row = readonly string[];

/** Quality of both pictures, as rows under a heading. */
export function qualityRows(metrics: DemoMetrics): Row[] {
  return [
    ['', 'PSNR', 'SSIM'],
    ['bicubic', `${metrics.bicubic_psnr.toFixed(2)} dB`, metrics.bicubic_ssim.toFixed(4)],
    ['generated', `${metrics.psnr.toFixed(2)} dB`, metrics.ssim.toFixed(4)],
    [
      'difference',
      `${signed(metrics.gain_db, 2)} dB`,
      signed(metrics.ssim - metrics.bicubic_ssim, 4),
    ],
  ];
}

/** Where everything lies. */
export function placeRows(folder: DemoFolder): Row[] {
  return [
    ['faces, side by side', folder.faces],
    ['history of the training', folder.history],
    ['model for any ONNX runtime', folder.onnxModel],
    ['model for TF.js', folder.tfjsFolder],
    ['metrics', folder.metrics],
    ['the run and its checkpoints', folder.runUrl],
  ];
}

/** The next commands to try; `lockstep` is the word that starts it here. */
export function nextCommands({ onnxModel }: DemoFolder, lockstep: string): string[] {
  return [
    `upscale PICTURE.jpg --model ${onnxModel}`,
    'dataset pack YOUR-FACES/ file://faces',
    'train --preset demo --set dataset.url=file://faces --workers 2',
  ].map((command) => `${lockstep} ${command}`);
}

function signed(value: number, digits: number): string {
  return `${value < 0 ? '' : '+'}${value.toFixed(digits)}`;
}
