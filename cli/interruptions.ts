// What asks a process from outside to stop: a signal, a closed terminal, or the end of whoever
// reads its output. It is listened for before anything else is loaded, since imports take a second,
// and the first process of a container is not ended by a signal that it does not listen for. So
// this file imports next to nothing.

import { constants } from 'node:os';
import { isatty } from 'node:tty';
import { exitCodes } from '../shared/exit-codes.js';

/** Why a process is to stop. */
export type Interruption = 'SIGINT' | 'SIGTERM' | 'SIGHUP' | 'SIGQUIT' | 'stdout' | 'stderr';

const signals = ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGQUIT'] as const;

/** A reader that has gone: its process has ended, or its terminal is closed. */
const goneCodes: ReadonlySet<string | undefined> = new Set(['EPIPE', 'EIO', 'ECONNRESET']);

/** Repeats within so long are the same wish: a terminal, npx and `timeout` may each send it. */
const sameWishMs = 500;

/** Longest time that a command may take from its start until it listens itself. */
const holdMs = 20_000;

let isListening = false;
let held: Interruption[] = [];
let handle: (what: Interruption) => void = hold;

/** Begins to listen. What comes is held until it is said what is to be done with it. */
export function listenForInterruptions(): void {
  if (isListening) return;
  isListening = true;
  for (const name of signals) process.on(name, () => onSignal(name));
  for (const name of ['stdout', 'stderr'] as const)
    process[name].on('error', (error: NodeJS.ErrnoException) => {
      outputFailures.set(name, outputFailures.get(name) ?? error);
      handle(name);
    });
  // Whoever reads 0 takes the output for whole.
  process.on('exit', (code) => {
    if (code === exitCodes.ok && !isOutputSpare && outputFailures.has('stdout'))
      process.exitCode = outputFailureCode();
  });
}

/** The process has more to do than to print. */
let isOutputSpare = false;

const outputFailures = new Map<Interruption, NodeJS.ErrnoException>();

/** Whoever started this process has given it a terminal, which can be closed. */
const hasTerminal = [0, 1, 2].some((file) => isatty(file));

function onSignal(name: (typeof signals)[number]): void {
  // Node forgets what `nohup` has set. But nohup leaves no terminal to a process.
  if (name === 'SIGHUP' && !hasTerminal) return;
  handle(name);
}

function hold(what: Interruption): void {
  held.push(what);
  if (held.length === 1) setTimeout(() => handle === hold && end(what), holdMs).unref();
}

function handleBy(handler: (what: Interruption) => void): void {
  const before = held;
  held = [];
  handle = handler;
  before.forEach(handler);
}

/** From now on an interruption ends this process at once, as if it did not listen. */
export function endWhenInterrupted(): void {
  handleBy(end);
}

function end(what: Interruption): void {
  // Nobody reads the remarks any more; the work itself goes on.
  if (what === 'stderr') return;
  if (what === 'stdout') return endWithoutOutput();
  process.removeAllListeners(what);
  // As the first process of a container it can't be ended by itself.
  if (process.pid === 1) process.exit(128 + constants.signals[what]);
  process.kill(process.pid, what);
}

function endWithoutOutput(): void {
  const error = outputFailures.get('stdout');
  if (!goneCodes.has(error?.code))
    process.stderr.write(`lockstep: can't write the output: ${error?.message}\n`);
  process.exit(outputFailureCode());
}

function outputFailureCode(): number {
  const { code } = outputFailures.get('stdout') ?? {};
  return goneCodes.has(code) ? exitCodes.outputClosed : exitCodes.failed;
}

/** What an orderly stop says and heeds. */
export interface StopOptions {
  /** Called with the first interruption: says what happens now. */
  readonly onStop?: () => void;
  /** It goes on when nobody reads its output. */
  readonly outlivesReaders?: boolean;
}

/**
 * Interruptions as one AbortSignal: the first aborts it, with the name as its reason, and the next
 * one ends this process at once.
 */
export function stopWhenInterrupted({ onStop, outlivesReaders }: StopOptions = {}): AbortSignal {
  const controller = new AbortController();
  isOutputSpare = outlivesReaders === true;
  let firstMs = 0;
  handleBy((what) => {
    const isOutput = what === 'stdout' || what === 'stderr';
    if (isOutput && outlivesReaders === true) return;
    if (what === 'SIGQUIT') process.exit(exitCodes.interrupted);
    if (!controller.signal.aborted) {
      firstMs = performance.now();
      controller.abort(isOutput ? `nobody reads ${what} any more` : what);
      onStop?.();
    } else if (!isOutput && what !== 'SIGHUP' && performance.now() - firstMs > sameWishMs)
      process.exit(exitCodes.interrupted);
  });
  return controller.signal;
}
