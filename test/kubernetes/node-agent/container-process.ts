// One start of a container: a process with a group of its own, its output in the container's log,
// and how it ended, in the words of a pod's status.

import type { V1ContainerStateTerminated } from '@kubernetes/client-node';
import { spawn } from 'node:child_process';
import { constants } from 'node:os';
import type { ContainerLog } from './container-log.js';

export interface ContainerProcess {
  readonly pid: number | undefined;
  readonly startedAt: Date;
  /** How it ended; never rejects. */
  readonly ended: Promise<V1ContainerStateTerminated>;
  /** SIGTERM to the process, SIGKILL to all of its group `graceMs` later. */
  stop(graceMs: number): void;
  kill(): void;
}

/** Exit code where the program can't be started, as a shell says it. */
const notFound = 127;

/** Starts `argv` with exactly these variables. */
export function startContainer(
  argv: readonly string[],
  env: Readonly<Record<string, string>>,
  cwd: string,
  log: ContainerLog,
): ContainerProcess {
  const startedAt = new Date();
  const [program = '', ...args] = argv;
  const child = spawn(program, args, {
    cwd,
    env,
    detached: true,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  child.stdout.setEncoding('utf8').on('data', (text: string) => log.write('stdout', text));
  child.stderr.setEncoding('utf8').on('data', (text: string) => log.write('stderr', text));
  let killTimer: NodeJS.Timeout | undefined;
  let deadlineMs = Infinity;
  const ended = new Promise<V1ContainerStateTerminated>((resolve) => {
    const end = (exitCode: number, reason: string, message?: string): void => {
      clearTimeout(killTimer);
      log.end();
      const said = message === undefined ? {} : { message };
      resolve({ exitCode, reason, startedAt, finishedAt: new Date(), ...said });
    };
    child.once('error', (error) => end(notFound, 'ContainerCannotRun', error.message));
    // At "close" all output was read; what the process left behind of its group ends with it.
    child.once('exit', () => killGroup(child.pid));
    child.once('close', (code, signal) => {
      const exitCode = code ?? 128 + (signal === null ? 0 : constants.signals[signal]);
      end(exitCode, exitCode === 0 ? 'Completed' : 'Error');
    });
  });
  const kill = (): void => killGroup(child.pid);
  const isUp = (): boolean => child.exitCode === null && child.signalCode === null;
  return {
    pid: child.pid,
    startedAt,
    ended,
    stop(graceMs) {
      if (!isUp()) return;
      if (killTimer === undefined) child.kill('SIGTERM');
      const wantedMs = performance.now() + graceMs;
      if (wantedMs >= deadlineMs) return;
      deadlineMs = wantedMs;
      clearTimeout(killTimer);
      killTimer = setTimeout(kill, graceMs);
    },
    kill,
  };
}

function killGroup(pid: number | undefined): void {
  if (pid === undefined) return;
  try {
    process.kill(-pid, 'SIGKILL');
  } catch {
    // It is gone.
  }
}
