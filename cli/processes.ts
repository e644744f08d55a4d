// Processes: how this one hears of its parent's end, and how others are started: `lockstep`
// commands that never outlive us, and any program that runs to its end.

import { spawn, type ChildProcess } from 'node:child_process';
import { createInterface } from 'node:readline';
import { childEnvironment, readEnvironment, type LogLevel } from '../shared/environment.js';
import { packageFile } from '../shared/paths.js';
import { exitCodes } from '../shared/exit-codes.js';
import { OperatorError } from '../shared/problems.js';
import { wordsOnKill } from './local/memory.js';

/**
 * Ends this process when its stdin is closed: the parent holds the other end, and the system closes
 * it however the parent ends. It does not keep the process alive.
 */
export function exitWithParent(): void {
  const leave = (): void => process.exit(exitCodes.failed);
  process.stdin.on('end', leave).on('close', leave).on('error', leave).resume();
  process.stdin.unref();
}

/** How a process left, as node reports it. */
export interface Departure {
  readonly code: number | null;
  readonly signal: string | null;
}

/** How a process left, in words. */
export function describeDeparture({ code, signal }: Departure): string {
  if (signal === null) return `ended with exit code ${code}`;
  return `was ended by ${signal}${signal === 'SIGKILL' ? wordsOnKill() : ''}`;
}

/** Resolves when the process has ended and its output was read; rejects if it never started. */
function departureOf(child: ChildProcess): Promise<Departure> {
  return new Promise((resolve, reject) => {
    child.once('error', (error) => child.pid === undefined && reject(error));
    child.once('close', (code, signal) => resolve({ code, signal }));
  });
}

export interface Child {
  readonly pid: number;
  /** Never rejects: a process that could not be started has left with exit code 1. */
  readonly left: Promise<Departure>;
  kill(signal: NodeJS.Signals): void;
}

/** For the help of the commands that write a log. */
export const logHelp =
  'LOCKSTEP_LOG_LEVEL (debug, info, warn, error, silent) is the level of the JSON lines on ' +
  'stderr; without it info, and silent at a terminal.';

/**
 * The level of this process's log (JSON lines on stderr): `LOCKSTEP_LOG_LEVEL`, else "info" where
 * no person reads them.
 */
export function logLevel(): LogLevel {
  return readEnvironment().logLevel ?? (process.stderr.isTTY ? 'silent' : 'info');
}

/** `lockstep` processes that end with this one. */
export interface Children {
  /** Starts `lockstep ...args`; `onLine` takes the lines of its stdout. */
  start(args: readonly string[], onLine?: (text: string) => void): Child;
  /** Ends all that are left, at once. */
  killAll(): void;
}

const lockstep = packageFile('bin/lockstep.js');

/**
 * An empty set of processes; `onComplaint` takes the lines of their stderr, with their log. What
 * is secret goes into their environment: every user of a machine can read command lines.
 */
export function createChildren(
  onComplaint: (text: string) => void,
  logLevel: LogLevel,
  environment: Readonly<Record<string, string>> = {},
): Children {
  const running = new Set<ChildProcess>();
  const killAll = (): void => running.forEach((child) => void child.kill('SIGKILL'));
  process.once('exit', killAll);
  return {
    killAll,
    start: (args, onLine) => {
      // Its stdin is closed when we end, even by SIGKILL: --exit-with-parent watches that.
      const child = spawn(process.execPath, [lockstep, ...args, '--exit-with-parent'], {
        stdio: ['pipe', onLine === undefined ? 'ignore' : 'pipe', 'pipe'],
        env: childEnvironment({ LOCKSTEP_LOG_LEVEL: logLevel, ...environment }),
        // A Ctrl-C reaches the run once, through its coordinator.
        detached: true,
      });
      running.add(child);
      if (child.stdout !== null && onLine !== undefined)
        createInterface({ input: child.stdout }).on('line', onLine);
      if (child.stderr !== null) createInterface({ input: child.stderr }).on('line', onComplaint);
      // It may be gone already; nothing is ever written there.
      child.stdin?.on('error', () => undefined);
      const left = departureOf(child).catch((error: Error) => {
        onComplaint(`lockstep ${args[0]} could not be started: ${error.message}`);
        return { code: exitCodes.failed, signal: null };
      });
      void left.then(() => running.delete(child));
      return { pid: child.pid ?? 0, left, kill: (signal) => void child.kill(signal) };
    },
  };
}

/** How a command ended, and the end of what it printed on stderr. */
export interface CommandEnd extends Departure {
  readonly complaint: string;
}

export interface CommandOptions {
  /** Takes each line of its stdout. */
  readonly onLine: (line: string) => void;
  /** Asks the command to stop; it is killed 15 s later. */
  readonly signal?: AbortSignal;
  readonly environment?: Readonly<Record<string, string>>;
  /** It is killed after so long. */
  readonly timeoutMs?: number;
}

const keptComplaint = 4000;
const killAfterMs = 15_000;

/** Runs `lockstep ...args` to its end, as a person would; rejects only when it can't be started. */
export async function runLockstep(
  args: readonly string[],
  { onLine, signal, environment = {}, timeoutMs }: CommandOptions,
): Promise<CommandEnd> {
  const child = spawn(process.execPath, [lockstep, ...args], {
    ...{ stdio: ['ignore', 'pipe', 'pipe'], env: childEnvironment(environment) },
    ...{ timeout: timeoutMs, killSignal: 'SIGKILL' },
  });
  let complaint = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    complaint = (complaint + text).slice(-keptComplaint);
  });
  createInterface({ input: child.stdout }).on('line', onLine);
  const stop = (): void => {
    child.kill('SIGTERM');
    const timer = setTimeout(() => child.kill('SIGKILL'), killAfterMs);
    child.once('close', () => clearTimeout(timer));
  };
  signal?.addEventListener('abort', stop, { once: true });
  if (signal?.aborted === true) stop();
  try {
    return { ...(await departureOf(child)), complaint: complaint.trim() };
  } finally {
    signal?.removeEventListener('abort', stop);
  }
}

export interface ProgramOptions {
  readonly cwd?: string;
  /** What to do when the program is not there. */
  readonly whenMissing: string;
  /** What to do when it fails; undefined: its output says it all. */
  readonly whenFailed?: string;
}

/** Bytes of a failed program's output that are shown. */
const shownBytes = 1500;

/**
 * Runs any program to its end and returns what it printed. Throws an OperatorError with what to do
 * when it is missing or fails.
 */
export async function runProgram(
  program: string,
  args: readonly string[],
  { cwd, whenMissing, whenFailed }: ProgramOptions,
): Promise<string> {
  const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'pipe'], cwd });
  const [printed, all] = [[] as Buffer[], [] as Buffer[]];
  child.stdout.on('data', (data: Buffer) => void [printed, all].map((into) => into.push(data)));
  child.stderr.on('data', (data: Buffer) => void all.push(data));
  const { code } = await departureOf(child).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== 'ENOENT') throw error;
    throw new OperatorError('a program is missing', [
      { key: program, given: undefined, allowed: 'a program on the PATH', hint: whenMissing },
    ]);
  });
  const text = (parts: Buffer[]): string => Buffer.concat(parts).toString('utf8').trim();
  if (code === 0) return text(printed);
  const command = [program, ...args].join(' ');
  const shown = command.length > 200 ? `${command.slice(0, 200)}...` : command;
  throw new OperatorError(
    `${shown}\nended with ${code}:\n${text(all).slice(-shownBytes)}`,
    whenFailed === undefined
      ? []
      : [{ key: 'set-up', given: 'a step that failed', allowed: whenFailed }],
  );
}
