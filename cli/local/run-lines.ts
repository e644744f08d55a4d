// The coordinator's `--json` lines: the result of a local run, which a script reads even if no
// coordinator is left to print it, and the run as a person sees it.

import { exitCodes, isStop } from '../../shared/exit-codes.js';
import { printLine, printNote } from '../output.js';
import { describeDeparture, type Departure } from '../processes.js';
import { createProgress, formatDuration, progressMode, type Progress } from '../progress.js';

/** One line of the coordinator's `--json` output. */
export type RunLine = Readonly<Record<string, unknown>>;

export interface RunResult {
  readonly exitCode: number;
  /** The last line; undefined when the run was never opened, and the reason is on stderr. */
  readonly line: RunLine | undefined;
}

/** The lines that the result is made of. */
export interface KeptLines {
  readonly run?: RunLine;
  readonly step?: RunLine;
  readonly checkpoint?: RunLine;
  /** The coordinator's own last line. */
  readonly result?: RunLine;
}

/** Keeps a line that counts for the result. */
export function keepLine(kept: KeptLines, line: RunLine): KeptLines {
  const { kind } = line;
  if (kind === 'run' || kind === 'step' || kind === 'checkpoint') return { ...kept, [kind]: line };
  return isResult(line) ? { ...kept, result: line } : kept;
}

/** Whether it is the last line of a coordinator. */
export function isResult({ kind }: RunLine): boolean {
  return kind === 'finished' || kind === 'stopped' || kind === 'failed';
}

/** Why we had a run ended ourselves. */
export interface EarlyEnd {
  readonly exitCode: number;
  readonly reason: string;
}

/**
 * The result of a run on `world` workers. `early`: a worker was lost for good, and the coordinator
 * was asked to stop for that; `isStopAsked`: the operator asked for it.
 */
export function runResult(
  kept: KeptLines,
  coordinator: Departure,
  world: number,
  isStopAsked: boolean,
  early?: EarlyEnd,
): RunResult {
  const { result } = kept;
  const isOurStop = early !== undefined && !isStopAsked && isStop(coordinator.code);
  if (isOurStop) return failure(kept, world, early.exitCode, early.reason);
  if (result !== undefined) {
    // Its own word counts also if it had to be ended after that.
    const code = Number(result['exit_code'] ?? exitCodes.failed);
    return { exitCode: coordinator.code ?? code, line: result };
  }
  // Stopped before it could listen to signals: there is nothing yet to go on with.
  if (isStopAsked && kept.run === undefined && coordinator.signal !== null)
    return { exitCode: exitCodes.interrupted, line: undefined };
  const exitCode = coordinator.code === null ? exitCodes.failed : coordinator.code;
  const reason =
    exitCode === exitCodes.superseded
      ? 'another coordinator has taken the run over'
      : `the coordinator ${describeDeparture(coordinator)}`;
  return failure(kept, world, exitCode || exitCodes.failed, reason);
}

function failure(kept: KeptLines, world: number, exitCode: number, reason: string): RunResult {
  const { run, step, checkpoint, result } = kept;
  if (run === undefined) return { exitCode, line: undefined };
  const line = {
    kind: 'failed',
    ...{ run: run['run'], url: run['url'] },
    step: (checkpoint ?? run)['step'],
    sha256: checkpoint?.['sha256'] ?? result?.['sha256'] ?? '',
    world,
    images_per_s: step?.['images_per_s'] ?? 0,
    reason,
    exit_code: exitCode,
  };
  return { exitCode, line };
}

export interface RunView {
  show(line: RunLine): void;
  close(): void;
}

/** Creates the view of one run; `isPlain` prints lines instead of a moving bar. */
export function createRunView(isPlain: boolean): RunView {
  let progress: Progress | undefined;
  let isLong = false;
  let ailment = '';
  let page = '';
  const print = (text: string): void =>
    progress === undefined ? printNote(text) : progress.print(text);
  const close = (): void => {
    progress?.close();
    progress = undefined;
  };
  /** Each coordinator in turn serves it, at the same address. */
  const showPage = (url: string): void => {
    if (url !== page) print(`watch it at ${url}`);
    page = url;
  };
  const show = (line: RunLine): void => {
    const { kind } = line;
    if (kind === 'run' && progress !== undefined)
      print(`a coordinator leads the run from step ${text(line['step'])}`);
    else if (kind === 'run') {
      printNote(
        `run ${text(line['run'])} in ${text(line['url'])}, from step ${text(line['step'])}: ` +
          `${text(line['train_samples'])} pictures train, ` +
          `${text(line['test_samples'])} are held out`,
      );
      progress = createProgress({
        label: 'train',
        total: Number(line['until']),
        start: Number(line['step']),
        mode: progressMode(false, isPlain),
      });
    } else if (kind === 'step') {
      const left = Number(line['eta_s'] ?? 0);
      if (left > longS && !isLong) print(describeLong(left));
      isLong ||= left > longS;
      progress?.update(Number(line['step']), describeStep(line) + ailment, left);
    } else if (kind === 'health') {
      ailment = line['verdict'] === 'healthy' ? '' : `, ${text(line['verdict'])}`;
      print(`step ${text(line['step'])}: ${text(line['text'])}`);
    } else if (kind === 'activity') print(describeActivity(line));
    else if (kind === 'rollback')
      print(
        `back to step ${text(line['step'])}: what followed, to ${text(line['from'])}, is redone`,
      );
    else if (kind === 'evaluation') print(describeEvaluation(line));
    else if (kind === 'checkpoint') print(`step ${text(line['step'])}: checkpointed`);
    else if (kind === 'page') showPage(text(line['url']));
    else if (kind === 'report') print(`what happened, as a page: ${text(line['url'])}`);
    else if (kind === 'notice') print(text(line['text']));
    else if (kind === 'world') print(describeWorld(line));
    else if (kind === 'lost') print(`${text(line['worker'])} is lost: ${text(line['reason'])}`);
    else if (kind === 'superseded') print(`a coordinator steps down: ${text(line['reason'])}`);
    else if (kind === 'finished' || kind === 'stopped' || kind === 'failed') {
      close();
      for (const row of describeResult(line)) printLine(row);
    }
  };
  return { show, close };
}

/** Longer than most would wait for a training that they have just started. */
const longS = 24 * 60 * 60;

function describeLong(seconds: number): string {
  return (
    `at this pace the run takes ${formatDuration(seconds)} more; it can be stopped and resumed, ` +
    'also with more workers (smaller runs: lockstep spec --list)'
  );
}

const activityWords: Readonly<Record<string, string>> = {
  joining: 'load the run',
  compile: 'compile the step',
  data: 'read data',
  compute: 'compute',
  exchange: 'exchange gradients',
};

/** "step 0, 12 s so far; worker-0, worker-1: compile the step" */
function describeActivity(line: RunLine): string {
  const workers = (line['workers'] ?? []) as readonly { worker: string; activity: string }[];
  const byActivity = new Map<string, string[]>();
  for (const { worker, activity } of workers)
    byActivity.set(activity, [...(byActivity.get(activity) ?? []), worker]);
  const parts = [...byActivity].map(([activity, names]) => {
    const more = names.length > 4 ? ` and ${names.length - 4} more` : '';
    return `${names.slice(0, 4).join(', ')}${more}: ${activityWords[activity] ?? activity}`;
  });
  return `step ${text(line['step'])}, ${text(line['seconds'])} s so far; ${parts.join('; ')}`;
}

function describeStep(line: RunLine): string {
  const metrics = Object.entries((line['metrics'] ?? {}) as Readonly<Record<string, unknown>>);
  const shown = metrics.map(
    ([name, value]) => `${name} ${figure(value, (known) => known.toPrecision(3))}`,
  );
  const rate = line['images_per_s'] ? [`${text(line['images_per_s'])} images/s`] : [];
  return [text(line['phase']), ...rate, ...shown].join(', ');
}

/** JSON has no value for what is not finite, and writes null. */
function figure(value: unknown, show: (known: number) => string): string {
  return typeof value === 'number' && Number.isFinite(value) ? show(value) : 'not finite';
}

function describeWorld(line: RunLine): string {
  const members = (line['members'] ?? []) as readonly { readonly worker: string }[];
  const names = members.map(({ worker }) => worker).join(', ');
  return `step ${text(line['step'])}: ${names} train (${text(line['reason'])})`;
}

function describeEvaluation(line: RunLine): string {
  const fixed = (key: string, digits: number): string =>
    figure(line[key], (known) => known.toFixed(digits));
  const identity = (key: string): string =>
    key in line ? `, identity distance ${fixed(key, 4)}` : '';
  return (
    `step ${text(line['step'])}: PSNR ${fixed('psnr', 2)} dB, SSIM ${fixed('ssim', 4)}` +
    `${identity('identity')} on ${text(line['faces'])} held-out faces (bicubic ` +
    `${fixed('bicubic_psnr', 2)} dB, ${fixed('bicubic_ssim', 4)}${identity('bicubic_identity')})`
  );
}

function describeResult(line: RunLine): string[] {
  const next = line['sha256'] ? 'go on with it' : 'start it again';
  const command =
    line['kind'] === 'finished'
      ? `export it with: lockstep export ${text(line['url'])} --format onnx --out model`
      : `${next}: lockstep resume ${text(line['url'])} --workers ${text(line['world'])}`;
  return [
    `${text(line['kind'])}: ${text(line['reason'])}`,
    `parameters sha256 ${text(line['sha256']) || '(none yet)'}`,
    `world ${text(line['world'])}, ${text(line['images_per_s'])} images/s`,
    command,
  ];
}

function text(value: unknown): string {
  return typeof value === 'string' ? value : JSON.stringify(value ?? '');
}
