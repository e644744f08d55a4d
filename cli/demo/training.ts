// The demo's training: it starts, stops at a checkpoint half-way, and resumes, each time as the
// command a person would type. What the commands print is gathered here.

import { exitCodes } from '../../shared/exit-codes.js';
import type { CommandEnd, RunCommand } from './lockstep-process.js';
import { createProgress } from './progress.js';
import { parseReport, type EvaluationReport, type FinishedReport } from './reports.js';

export interface TrainingResult {
  readonly finished: FinishedReport;
  /** In the order of steps; a step that was evaluated twice counts once. */
  readonly evaluations: readonly EvaluationReport[];
}

export interface TrainingOptions {
  readonly datasetUrl: string;
  readonly runUrl: string;
  readonly workers: number;
  readonly overrides: readonly string[];
  /** Step at which the training is stopped and resumed. */
  readonly stopAfter: number;
  readonly isPlain: boolean;
  readonly signal: AbortSignal;
  /** Runs a lockstep command. */
  readonly run: RunCommand;
  /** Called before each command, with what it is for. */
  readonly announce: (text: string) => void;
}

/** Trains in two goes. Throws when a command fails, with what it said. */
export async function trainInTwoGoes(options: TrainingOptions): Promise<TrainingResult> {
  const { runUrl, workers, stopAfter, announce } = options;
  const evaluations = new Map<number, EvaluationReport>();
  const common = ['--workers', String(workers), '--json'];
  announce(`Training with ${workers} worker processes, to step ${stopAfter}`);
  const first = await follow([...trainArguments(options), ...common], options, evaluations);
  expectCode(first.end, exitCodes.stopped, 'lockstep train');
  announce('Stopped at a checkpoint; resuming from it');
  const second = await follow(['resume', runUrl, ...common], options, evaluations);
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

async function follow(
  args: readonly string[],
  { run, isPlain, signal }: TrainingOptions,
  evaluations: Map<number, EvaluationReport>,
): Promise<{ readonly end: CommandEnd; readonly finished: FinishedReport | undefined }> {
  const progress = createProgress(isPlain);
  let finished: FinishedReport | undefined;
  try {
    const end = await run(
      args,
      (line) => {
        const report = parseReport(line);
        if (report === undefined) return;
        if (report.kind === 'evaluation') evaluations.set(report.step, report);
        if (report.kind === 'finished') finished = report;
        progress.show(report);
      },
      signal,
    );
    return { end, finished };
  } finally {
    progress.stop();
  }
}

function expectCode({ code, complaint }: CommandEnd, expected: number, command: string): void {
  if (code === expected) return;
  throw new Error(`${command} ended with exit code ${code}, not ${expected}:\n${complaint}`);
}
