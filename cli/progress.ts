// Shows how far a command is: a moving bar with the time left on a terminal, a plain line every
// few seconds elsewhere, nothing for scripts. Always on stderr; stdout is for results.

import { MultiBar, type SingleBar } from 'cli-progress';
import { createEta, formatDuration, type Eta } from './eta.js';
import { printNote } from './output.js';

export type ProgressMode = 'bar' | 'lines' | 'silent';

export interface ProgressOptions {
  /** What is under way: "train", "pack". */
  readonly label: string;
  readonly total: number;
  readonly mode: ProgressMode;
  /** Items that were done before; a resumed run starts at its checkpoint. */
  readonly start?: number;
  /** Takes the plain lines; stderr when not given. */
  readonly print?: (line: string) => void;
  /** Milliseconds from any origin; the process's own clock when not given. */
  readonly nowMs?: () => number;
}

/** Progress of one thing. */
export interface Progress {
  /** `done` of the total; `note` is a short remark, for example the loss. */
  update(done: number, note?: string): void;
  /** Prints a line without tearing the bar. */
  print(line: string): void;
  /** Shows the last state and gives the terminal back; more calls do nothing. */
  close(): void;
}

/** Least time between two plain lines. */
export const lineIntervalMs = 5000;

/** Which form of progress fits: scripts (`--json`) get none, pipes and NO_COLOR get lines. */
export function progressMode(isJson: boolean, isPlain: boolean): ProgressMode {
  if (isJson) return 'silent';
  return process.stderr.isTTY && !isPlain ? 'bar' : 'lines';
}

/** Starts to show progress. */
export function createProgress(options: ProgressOptions): Progress {
  if (options.mode === 'silent') return { update: () => {}, print: () => {}, close: () => {} };
  return options.mode === 'bar' ? createBar(options) : createLines(options);
}

function createLines({ label, total, start = 0, ...options }: ProgressOptions): Progress {
  const { print = printNote, nowMs = () => performance.now() } = options;
  const eta = createEta(total);
  eta.observe(start, nowMs());
  let shown = { done: start, atMs: nowMs() - lineIntervalMs };
  let latest = { done: start, note: '' };
  const show = (): void => {
    shown = { done: latest.done, atMs: nowMs() };
    print(progressLine(label, latest.done, total, eta.secondsLeft(), latest.note));
  };
  return {
    update(done, note = '') {
      latest = { done, note };
      eta.observe(done, nowMs());
      if (nowMs() - shown.atMs >= lineIntervalMs) show();
    },
    print,
    close() {
      if (shown.done !== latest.done) show();
    },
  };
}

/** "train 120/550 (22%), 1 min 20 s left, loss 0.012" */
export function progressLine(
  label: string,
  done: number,
  total: number,
  secondsLeft: number | undefined,
  note: string,
): string {
  const percent = total === 0 ? 100 : Math.floor((100 * done) / total);
  const left = leftOf(done, total, secondsLeft);
  return [`${label} ${done}/${total} (${percent}%)`, left, note]
    .filter((part) => part !== '')
    .join(', ');
}

function leftOf(done: number, total: number, secondsLeft: number | undefined): string {
  if (done >= total || secondsLeft === undefined) return '';
  return `${formatDuration(secondsLeft)} left`;
}

function createBar({
  label,
  total,
  start = 0,
  nowMs = () => performance.now(),
}: ProgressOptions): Progress {
  const bars = new MultiBar({
    format: '{label} [{bar}] {value}/{total} {left} {note}',
    barCompleteChar: '=',
    barIncompleteChar: ' ',
    barsize: 30,
    hideCursor: false,
    stopOnComplete: false,
    fps: 5,
  });
  const eta = createEta(total);
  eta.observe(start, nowMs());
  const bar = bars.create(total, start, { label, left: '', note: '' });
  return barProgress(bars, bar, eta, total, nowMs);
}

function barProgress(
  bars: MultiBar,
  bar: SingleBar,
  eta: Eta,
  total: number,
  nowMs: () => number,
): Progress {
  let isClosed = false;
  return {
    update(done, note = '') {
      eta.observe(done, nowMs());
      if (!isClosed) bar.update(done, { left: leftOf(done, total, eta.secondsLeft()), note });
    },
    print(line) {
      if (isClosed) printNote(line);
      else bars.log(`${line}\n`);
    },
    close() {
      if (!isClosed) bars.stop();
      isClosed = true;
    },
  };
}
