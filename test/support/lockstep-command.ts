// Runs `lockstep` as a user does: as a process, reading its lines.

import assert from 'node:assert/strict';
import { spawn, type ChildProcess } from 'node:child_process';
import { createInterface } from 'node:readline';
import { exitCodes } from '../../shared/exit-codes.js';
import { childEnvironment } from '../../shared/environment.js';
import { packageFile } from '../../shared/paths.js';

export interface CommandResult {
  readonly code: number;
  /** JSON lines of stdout, in their order. */
  readonly lines: readonly Record<string, unknown>[];
  readonly stderr: string;
}

export interface RunningCommand {
  readonly process: ChildProcess;
  readonly result: Promise<CommandResult>;
  /** The JSON lines so far. */
  lines(): readonly Record<string, unknown>[];
  /** What it has written to stderr so far. */
  said(): string;
  /** Resolves with the first line of that kind that `isWanted` accepts; rejects at the end. */
  line(
    kind: string,
    isWanted?: (line: Record<string, unknown>) => boolean,
  ): Promise<Record<string, unknown>>;
}

/** Hears what a command says, line by line. */
export interface CommandListener {
  onLine(line: Record<string, unknown>): void;
  /** A line of stderr. */
  onSaid(text: string): void;
}

type Waiter = (line: Record<string, unknown> | undefined) => void;

/** Starts `lockstep ...args` in `cwd`; it is killed after `timeoutMs`. */
export function startLockstep(
  args: readonly string[],
  cwd: string,
  environment: Readonly<Record<string, string | undefined>> = {},
  timeoutMs = 120_000,
  listener?: CommandListener,
): RunningCommand {
  const child = spawn(process.execPath, [packageFile('bin/lockstep.js'), ...args], {
    cwd,
    // Tests run side by side, and all would like the usual port.
    env: childEnvironment({ LOCKSTEP_HTTP: 'off', ...environment }),
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const timer = setTimeout(() => child.kill('SIGKILL'), timeoutMs);
  const lines: Record<string, unknown>[] = [];
  const waiters = new Set<Waiter>();
  let stderr = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text));
  if (listener !== undefined)
    createInterface({ input: child.stderr }).on('line', (text) => listener.onSaid(text));
  createInterface({ input: child.stdout }).on('line', (text) => {
    if (!text.startsWith('{')) return;
    const line = JSON.parse(text) as Record<string, unknown>;
    lines.push(line);
    listener?.onLine(line);
    for (const waiter of waiters) waiter(line);
  });
  const result = new Promise<CommandResult>((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (code) => {
      clearTimeout(timer);
      for (const waiter of waiters) waiter(undefined);
      resolve({ code: code ?? -1, lines, stderr });
    });
  });
  return {
    process: child,
    result,
    lines: () => lines,
    said: () => stderr,
    line: (kind, isWanted = () => true) =>
      new Promise((resolve, reject) => {
        const waiter: Waiter = (line) => {
          if (line !== undefined && !(line['kind'] === kind && isWanted(line))) return;
          waiters.delete(waiter);
          if (line === undefined) reject(new Error(`no "${kind}" line came: ${stderr}`));
          else resolve(line);
        };
        waiters.add(waiter);
        for (const line of [...lines]) if (waiters.has(waiter)) waiter(line);
      }),
  };
}

/** Runs `lockstep ...args` to its end. */
export function runLockstep(
  args: readonly string[],
  cwd: string,
  environment: Readonly<Record<string, string | undefined>> = {},
  timeoutMs?: number,
): Promise<CommandResult> {
  return startLockstep(args, cwd, environment, timeoutMs).result;
}

/** Runs `lockstep ...args --json`, which must end with exit code `code`; gives its last line. */
export async function lastLineOf(
  args: readonly string[],
  cwd: string,
  code: number = exitCodes.ok,
): Promise<Record<string, unknown>> {
  const result = await runLockstep([...args, '--json'], cwd);
  assert.equal(result.code, code, result.stderr);
  return result.lines.at(-1) ?? {};
}
