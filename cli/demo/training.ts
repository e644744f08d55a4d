// The demo's training: it starts, stops at a checkpoint on the way, and resumes, each time as the
// command a person would type. The lines of their `--json` are read as far as the demo needs them.

import { z } from 'zod';
import { exitCodes } from '../../shared/exit-codes.js';
import { createProgress, progressMode, type Progress } from '../progress.js';
import { describeDeparture, type CommandEnd, type runLockstep } from '../processes.js';
import { parseJson } from '../../shared/bounded-json.js';

const step = z.int().min(0);
const figure = z.number();
/** JSON has no value for what is not finite. */
const measured = figure.nullable().transform((given) => given ?? NaN);

const lineSchema = z.discriminatedUnion('kind', [
  z.object({ kind: z.literal('run'), run: z.string() }),
  z.object({
    kind: z.literal('step'),
    step,
    last_step: step,
    images_per_s: figure.optional(),
    eta_s: figure.optional(),
  }),
  z.object({
    kind: z.literal('evaluation'),
    step,
    psnr: measured,
    ssim: measured,
    bicubic_psnr: measured,
    bicubic_ssim: measured,
    identity: measured.optional(),
    bicubic_identity: measured.optional(),
    faces: z.int().optional(),
    sample_key: z.string(),
  }),
  z.object({ kind: z.literal('checkpoint'), step }),
  z.object({ kind: z.literal('failed'), reason: z.string().default('') }),
  z.object({
    kind: z.literal('finished'),
    run: z.string(),
    step,
    sha256: z.string(),
    world: z.int(),
    images_per_s: figure,
  }),
]);

export type TrainingLine = z.infer<typeof lineSchema>;
export type EvaluationLine = Extract<TrainingLine, { kind: 'evaluation' }>;
export type FinishedLine = Extract<TrainingLine, { kind: 'finished' }>;

const longestLine = 64 * 1024;

/** A line of the training; undefined for anything else. */
export function parseTrainingLine(line: string): TrainingLine | undefined {
  if (line.length > longestLine || !line.startsWith('{')) return undefined;
  try {
    return lineSchema.safeParse(parseJson(line)).data;
  } catch {
    return undefined;
  }
}

export interface TrainingResult {
  readonly finished: FinishedLine;
  /** In the order of steps; a step that was evaluated twice counts once. */
  readonly evaluations: readonly EvaluationLine[];
}

export interface TrainingOptions {
  readonly datasetUrl: string;
  readonly runUrl: string;
  readonly workers: number;
  readonly overrides: readonly string[];
  /** Step at which the training is stopped and resumed, and the step that ends it. */
  readonly stopAfter: number;
  readonly lastStep: number;
  readonly isPlain: boolean;
  readonly signal: AbortSignal;
  /** Runs a lockstep command. */
  readonly run: typeof runLockstep;
  /** Called between the two goes, with the checkpoint of `stopAfter` in place. */
  readonly onStopped: () => Promise<void>;
  /** Called before each command, with what it is for. */
  readonly announce: (text: string) => void;
}

/**
 * Trains in two goes. Where `signal` was raised on the way: "stopped" with a checkpoint, or
 * "interrupted" before there was one. Throws when a command fails, with what it said.
 */
export async function trainInTwoGoes(
  options: TrainingOptions,
): Promise<TrainingResult | 'stopped' | 'interrupted'> {
  const { runUrl, workers, stopAfter, announce, signal } = options;
  const evaluations = new Map<number, EvaluationLine>();
  const common = ['--workers', String(workers), '--http', 'off', '--json'];
  const train = [...trainArguments(options), ...common];
  announce(`Training with ${workers} worker processes; it will stop at step ${stopAfter}`);
  const first = await follow(train, options, evaluations);
  if (signal.aborted && first.end.code !== exitCodes.stopped) return 'interrupted';
  if (signal.aborted) return 'stopped';
  expectCode(first.end, exitCodes.stopped, 'lockstep train');
  await options.onStopped();
  announce(`Stopped at the checkpoint of step ${stopAfter}; resuming from it`);
  const second = await follow(['resume', runUrl, ...common], options, evaluations);
  if (signal.aborted) return 'stopped';
  expectCode(second.end, exitCodes.ok, 'lockstep resume');
  if (second.finished === undefined)
    throw new Error('lockstep resume ended without saying what it reached');
  const inOrder = [...evaluations.values()].sort((a, b) => a.step - b.step);
  return { finished: second.finished, evaluations: inOrder };
}

function trainArguments({ datasetUrl, runUrl, overrides, stopAfter }: TrainingOptions): string[] {
  const sets = [`dataset.url=${datasetUrl}`, ...overrides].flatMap((set) => ['--set', set]);
  return ['train', '--preset', 'demo', ...sets, '--run', runUrl, '--stop-after', String(stopAfter)];
}

/** Runs a command and shows its progress; gathers what it says. */
async function follow(
  args: readonly string[],
  { run, isPlain, signal, lastStep: total }: TrainingOptions,
  evaluations: Map<number, EvaluationLine>,
): Promise<{ readonly end: CommandEnd; readonly finished: FinishedLine | undefined }> {
  const mode = progressMode(false, isPlain);
  // From the first step on: what comes before says nothing about the pace.
  let progress: Progress | undefined;
  let finished: FinishedLine | undefined;
  let reason = '';
  const take = (report: TrainingLine): void => {
    if (report.kind === 'evaluation') evaluations.set(report.step, report);
    if (report.kind === 'finished') finished = report;
    if (report.kind === 'failed') reason = report.reason;
    if (report.kind !== 'step') return;
    progress ??= createProgress({ label: 'train', total, start: report.step, mode });
    const note = progressNote(report.images_per_s ?? 0, newest(evaluations));
    progress.update(report.step, note, report.eta_s ?? 0);
  };
  const onLine = (line: string): void => {
    const report = parseTrainingLine(line);
    if (report !== undefined) take(report);
  };
  try {
    const end = await run(args, { onLine, signal });
    return { end: { ...end, complaint: [reason, end.complaint].join('\n').trim() }, finished };
  } finally {
    progress?.close();
  }
}

function newest(evaluations: ReadonlyMap<number, EvaluationLine>): EvaluationLine | undefined {
  return evaluations.get(Math.max(...evaluations.keys()));
}

/** "12.3 images/s, 26.31 dB, bicubic 25.78"; a rate of 0 is not known yet. */
export function progressNote(
  imagesPerSecond: number,
  evaluation: EvaluationLine | undefined,
): string {
  const rate = imagesPerSecond > 0 ? [`${imagesPerSecond.toFixed(1)} images/s`] : [];
  if (evaluation === undefined) return rate.join();
  const { psnr, bicubic_psnr: bicubic } = evaluation;
  return [...rate, `${psnr.toFixed(2)} dB, bicubic ${bicubic.toFixed(2)}`].join(', ');
}

function expectCode(end: CommandEnd, expected: number, command: string): void {
  if (end.code === expected) return;
  const how = describeDeparture(end);
  throw new Error(`${command} ${how}, not ${expected}:\n${end.complaint}`);
}
