// Runs another `lockstep` command as a process, as a person would, and follows its lines.

import { spawn, type ChildProcess } from 'node:child_process';
import { createInterface } from 'node:readline';
import { packageFile } from '../../shared/environment.js';

/** How a command ended: its exit code, and the end of what it said on stderr. */
export interface CommandEnd {
  readonly code: number;
  readonly complaint: string;
}

/** The form of `runLockstep`. */
export type RunCommand = (
  args: readonly string[],
  onLine: (line: string) => void,
  signal?: AbortSignal,
) => Promise<CommandEnd>;

const keptComplaint = 4000;
const killAfterMs = 15_000;

/**
 * Runs `lockstep ...args` and hands over each line of its stdout. When `signal` is raised the
 * command is asked to stop, and killed 15 s later. Rejects only when it can't be started.
 */
export const runLockstep: RunCommand = async (args, onLine, signal) => {
  const child = spawn(process.execPath, [packageFile('bin/lockstep.js'), ...args], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let complaint = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    complaint = (complaint + text).slice(-keptComplaint);
  });
  createInterface({ input: child.stdout }).on('line', onLine);
  const stop = (): void => stopGently(child);
  signal?.addEventListener('abort', stop, { once: true });
  try {
    return await new Promise<CommandEnd>((resolve, reject) => {
      child.on('error', reject);
      child.on('close', (code) => resolve({ code: code ?? 1, complaint: complaint.trim() }));
    });
  } finally {
    signal?.removeEventListener('abort', stop);
  }
};

function stopGently(child: ChildProcess): void {
  child.kill('SIGTERM');
  const timer = setTimeout(() => child.kill('SIGKILL'), killAfterMs);
  child.once('close', () => clearTimeout(timer));
}
