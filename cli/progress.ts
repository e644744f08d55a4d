// Shows how far a command is, and the time left at the recent pace: a moving bar on a terminal, a
// plain line every few seconds elsewhere, nothing for scripts. Always on stderr; stdout is for
// results.

import { MultiBar } from 'cli-progress';
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
  /**
   * `done` of the total; `note` is a short remark, for example the loss. Who knows the time left
   * better gives its seconds, 0 while they are unknown.
   */
  update(done: number, note?: string, secondsLeft?: number): void;
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
  let latest: Latest = { done: start, note: '', secondsLeft: undefined };
  const show = (): void => {
    shown = { done: latest.done, atMs: nowMs() };
    print(progressLine(label, latest.done, total, leftBy(latest, eta), latest.note));
  };
  return {
    update(done, note = '', secondsLeft) {
      latest = { done, note, secondsLeft };
      eta.observe(done, nowMs());
      if (nowMs() - shown.atMs >= lineIntervalMs) show();
    },
    print,
    close() {
      if (shown.done !== latest.done) show();
    },
  };
}

interface Latest {
  readonly done: number;
  readonly note: string;
  readonly secondsLeft: number | undefined;
}

function leftBy(
  { secondsLeft }: Pick<Latest, 'secondsLeft'>,
  eta: ReturnType<typeof createEta>,
): number | undefined {
  if (secondsLeft === undefined) return eta.secondsLeft();
  return secondsLeft > 0 ? secondsLeft : undefined;
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

function createBar({ label, total, start = 0, ...options }: ProgressOptions): Progress {
  const { nowMs = () => performance.now() } = options;
  const bars = new MultiBar({
    format: '{label} [{bar}] {value}/{total} {left} {note}',
    ...{ barCompleteChar: '=', barIncompleteChar: ' ', barsize: 30 },
    ...{ hideCursor: false, stopOnComplete: false, fps: 5 },
  });
  const eta = createEta(total);
  eta.observe(start, nowMs());
  const bar = bars.create(total, start, { label, left: '', note: '' });
  let isClosed = false;
  return {
    update(done, note = '', secondsLeft) {
      eta.observe(done, nowMs());
      const left = leftOf(done, total, leftBy({ secondsLeft }, eta));
      if (!isClosed) bar.update(done, { left, note });
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

/** Observations that are kept, and how far back they reach. */
const most = 64;
const windowMs = 60_000;

/** A pace over less than this says nothing. */
const leastMs = 2_000;

/**
 * The time left for `total` items, by the pace of the last minute: phases of a run differ in speed,
 * so the beginning says little about the end.
 */
export function createEta(total: number) {
  let seen: { readonly done: number; readonly atMs: number }[] = [];
  return {
    observe(done: number, nowMs: number): void {
      seen = seen.filter(({ atMs }) => nowMs - atMs <= windowMs);
      seen.push({ done, atMs: nowMs });
      // When there are too many, every other one goes; the first and the last stay.
      if (seen.length > most) seen = seen.filter((_, i) => i % 2 === 0 || i === seen.length - 1);
    },
    /** Seconds until all is done; undefined while the pace is unknown. */
    secondsLeft(): number | undefined {
      const [first, last] = [seen.at(0), seen.at(-1)];
      if (first === undefined || last === undefined || last.done <= first.done) return undefined;
      if (last.atMs - first.atMs < leastMs) return undefined;
      const secondsEach = (last.atMs - first.atMs) / 1000 / (last.done - first.done);
      return Math.max(0, (total - last.done) * secondsEach);
    },
  };
}

/** "8 s", "3 min 20 s", "2 h 5 min": at most two units. */
export function formatDuration(seconds: number): string {
  const whole = Math.round(seconds);
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return twoUnits(Math.floor(whole / 60), 'min', whole % 60, 's');
  const minutes = Math.round(whole / 60);
  if (minutes < 24 * 60) return twoUnits(Math.floor(minutes / 60), 'h', minutes % 60, 'min');
  const hours = Math.round(minutes / 60);
  return twoUnits(Math.floor(hours / 24), 'd', hours % 24, 'h');
}

function twoUnits(large: number, unit: string, small: number, smallUnit: string): string {
  return small === 0 ? `${large} ${unit}` : `${large} ${unit} ${small} ${smallUnit}`;
}
