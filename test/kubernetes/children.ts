// Child processes that must not outlive the test: servers with their output in a file, and the end
// of all of them when this process ends or gets a signal.

import { spawn, type ChildProcess } from 'node:child_process';
import { closeSync, openSync, readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { childEnvironment } from '../../shared/environment.js';

const endings = new Set<() => void>();
let isWatching = false;

/** The last one first: processes before their folder. */
function endAll(): void {
  for (const end of [...endings].reverse()) end();
}

/** Calls `end` when this process ends or gets a signal (a test's time limit sends SIGTERM). */
export function onOurEnd(end: () => void): () => void {
  endings.add(end);
  if (!isWatching) {
    isWatching = true;
    process.once('exit', endAll);
    for (const signal of ['SIGTERM', 'SIGINT'] as const)
      process.once(signal, () => {
        endAll();
        process.kill(process.pid, signal);
      });
  }
  return () => void endings.delete(end);
}

/** A server as a process. */
export interface Server {
  readonly name: string;
  /** True until the process has ended. */
  isUp(): boolean;
  /** The last lines it wrote. */
  tail(lines: number): string;
  /** Kills it and waits until it is gone. */
  kill(): Promise<void>;
}

/** Starts a program whose output goes to `NAME.log` in `folder`. */
export function startServer(program: string, args: readonly string[], folder: string): Server {
  const name = basename(program);
  const path = join(folder, `${name}.log`);
  const log = openSync(path, 'a');
  const child = spawn(program, args, {
    cwd: folder,
    env: childEnvironment({}),
    stdio: ['ignore', log, log],
  });
  closeSync(log);
  child.on('error', () => undefined);
  const release = onOurEnd(() => void child.kill('SIGKILL'));
  const isUp = (): boolean => child.exitCode === null && child.signalCode === null;
  return {
    name,
    isUp,
    tail: (lines) => readFileSync(path, 'utf8').split('\n').slice(-lines).join('\n'),
    async kill() {
      await killed(child);
      release();
    },
  };
}

async function killed(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null || child.pid === undefined) return;
  const ended = new Promise((resolve) => child.once('exit', resolve));
  child.kill('SIGKILL');
  await ended;
}

/** What a program wrote, and how it ended. */
export interface Output {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs a program to its end, at most `timeoutMs`; `input` is its standard input. */
export function runProgram(
  program: string,
  args: readonly string[],
  { input = '', timeoutMs = 60_000, env = {} } = {},
): Promise<Output> {
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, {
      env: childEnvironment(env),
      timeout: timeoutMs,
      killSignal: 'SIGKILL',
    });
    let stdout = '';
    let stderr = '';
    child.stdout.setEncoding('utf8').on('data', (text: string) => (stdout += text));
    child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text));
    child.on('error', reject);
    child.on('close', (code) => resolve({ code: code ?? -1, stdout, stderr }));
    child.stdin.on('error', () => undefined).end(input);
  });
}
