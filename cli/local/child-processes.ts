// The processes of a local run: `lockstep` commands that never outlive it, however it ends.
// It starts and ends them; when, others decide.

import { spawn, type ChildProcess } from 'node:child_process';
import { createInterface } from 'node:readline';
import { packageFile } from '../../shared/environment.js';
import { exitCodes } from '../../shared/exit-codes.js';
import type { Departure } from './restart-policy.js';

export interface Child {
  readonly pid: number;
  /** Never rejects: a process that could not be started has left with exit code 1. */
  readonly left: Promise<Departure>;
  kill(signal: NodeJS.Signals): void;
}

export interface Children {
  /** Starts `lockstep ...args`; `onLine` takes the lines of its stdout. */
  start(args: readonly string[], onLine?: (text: string) => void): Child;
  /** Ends all that are left, at once. */
  killAll(): void;
}

/** Creates the set of a run's processes; `onComplaint` takes the lines of their stderr. */
export function createChildren(onComplaint: (text: string) => void): Children {
  const running = new Set<ChildProcess>();
  const killAll = (): void => running.forEach((child) => void child.kill('SIGKILL'));
  process.once('exit', killAll);
  return {
    killAll,
    start: (args, onLine) => {
      // Its stdin is closed when we end, even by SIGKILL: --exit-with-parent watches that.
      const child = spawn(
        process.execPath,
        [packageFile('bin/lockstep.js'), ...args, '--exit-with-parent'],
        {
          stdio: ['pipe', onLine === undefined ? 'ignore' : 'pipe', 'pipe'],
          // A Ctrl-C reaches the run once, through its coordinator.
          detached: true,
        },
      );
      running.add(child);
      if (child.stdout !== null && onLine !== undefined)
        createInterface({ input: child.stdout }).on('line', onLine);
      if (child.stderr !== null) createInterface({ input: child.stderr }).on('line', onComplaint);
      // It may be gone already; nothing is ever written there.
      child.stdin?.on('error', () => undefined);
      const left = new Promise<Departure>((resolve) => {
        child.once('error', (error) => {
          if (child.pid !== undefined) return;
          onComplaint(`lockstep ${args[0]} could not be started: ${error.message}`);
          resolve({ code: exitCodes.failed, signal: null });
        });
        child.once('close', (code, signal) => resolve({ code, signal }));
      });
      void left.then(() => running.delete(child));
      return { pid: child.pid ?? 0, left, kill: (signal) => void child.kill(signal) };
    },
  };
}
