// How a training looks while it runs: a bar with an ETA on a terminal, a line now and then
// elsewhere. Written to stderr; results go to stdout.

import { SingleBar } from 'cli-progress';
import { printNote } from '../output.js';
import type { EvaluationReport, Report } from './reports.js';

export interface Progress {
  /** Takes note of a report of the training process. */
  show(report: Report): void;
  stop(): void;
}

/** What is known of the training so far, for one line of text. */
export interface TrainingView {
  readonly step: number;
  readonly lastStep: number;
  readonly imagesPerSecond: number | undefined;
  readonly etaSeconds: number | undefined;
  readonly evaluation: EvaluationReport | undefined;
}

const nothing: TrainingView = {
  step: 0,
  lastStep: 1,
  imagesPerSecond: undefined,
  etaSeconds: undefined,
  evaluation: undefined,
};

/** The view after one more report. */
export function updateView(view: TrainingView, report: Report): TrainingView {
  if (report.kind === 'evaluation') return { ...view, evaluation: report };
  if (report.kind !== 'step') return view;
  return {
    ...view,
    step: report.step,
    lastStep: report.last_step,
    imagesPerSecond: report.images_per_s ?? view.imagesPerSecond,
    etaSeconds: report.eta_s,
  };
}

/** "12.3 images/s, ETA 1:05, PSNR 26.31 dB (bicubic 25.78)"; what is not known is left out. */
export function describeView({ imagesPerSecond, etaSeconds, evaluation }: TrainingView): string {
  const rate = imagesPerSecond === undefined ? [] : [`${imagesPerSecond.toFixed(1)} images/s`];
  const eta = etaSeconds === undefined ? [] : [`ETA ${clock(etaSeconds)}`];
  const quality =
    evaluation === undefined
      ? []
      : [`PSNR ${evaluation.psnr.toFixed(2)} dB (bicubic ${evaluation.bicubic_psnr.toFixed(2)})`];
  return [...rate, ...eta, ...quality].join(', ');
}

/** Seconds as m:ss. */
export function clock(seconds: number): string {
  const whole = Math.max(0, Math.round(seconds));
  return `${Math.floor(whole / 60)}:${String(whole % 60).padStart(2, '0')}`;
}

/** Progress of a training, as a bar or, for logs, as lines at least `everyMs` apart. */
export function createProgress(isPlain: boolean, everyMs = 10_000): Progress {
  return isPlain ? createLines(everyMs) : createBar();
}

function createLines(everyMs: number): Progress {
  let view = nothing;
  let printedAt = Number.NEGATIVE_INFINITY;
  const print = (): void => {
    printedAt = performance.now();
    printNote(`  step ${view.step} of ${view.lastStep}: ${describeView(view)}`);
  };
  return {
    show: (report) => {
      view = updateView(view, report);
      if (report.kind === 'step' && performance.now() - printedAt >= everyMs) print();
    },
    stop: () => {
      if (view.step > 0) print();
    },
  };
}

function createBar(): Progress {
  const bar = new SingleBar({
    format: '  {bar} {value}/{total} {text}',
    barCompleteChar: '█',
    barIncompleteChar: '░',
    barsize: 24,
    hideCursor: true,
  });
  let view = nothing;
  bar.start(view.lastStep, 0, { text: 'starting' });
  return {
    show: (report) => {
      view = updateView(view, report);
      bar.setTotal(view.lastStep);
      bar.update(view.step, { text: describeView(view) });
    },
    stop: () => bar.stop(),
  };
}
