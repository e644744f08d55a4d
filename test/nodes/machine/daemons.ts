// The programs of the test cluster as processes: each in a cgroup of the cluster and, where
// wanted, in the network and mounts of a node, with its output in a file. None outlives the
// cgroup.

import { spawn, type ChildProcess } from 'node:child_process';
import { closeSync, mkdirSync, openSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { childEnvironment } from '../../../shared/environment.js';
import { runProgram } from '../../kubernetes/children.js';
import { until } from '../../support/until.js';
import { assertOpen, enterGroup } from './cgroups.js';

/** Longest wait for a program to be as it should, under load. */
export const readyMs = 120_000;

export interface DaemonOptions {
  /** Of the log, `NAME.log` in the folder. */
  readonly name: string;
  readonly folder: string;
  /** Below the cluster's cgroup. */
  readonly group: string;
  /** A process whose namespaces it enters: the network alone, or also a node's mounts. */
  readonly within?: { readonly pid: number; readonly isNode: boolean };
  readonly environment?: Readonly<Record<string, string>>;
}

export interface Daemon {
  readonly name: string;
  readonly pid: number;
  isUp(): boolean;
  /** The last lines it wrote. */
  tail(lines: number): string;
}

/** The command that runs another one in a process's namespaces. */
export function entering({ pid, isNode }: { pid: number; isNode: boolean }): string[] {
  const spaces = isNode ? ['--mount', '--uts', '--net'] : ['--net'];
  return ['nsenter', `--target=${pid}`, ...spaces, '--'];
}

/** Starts a program. */
export function startDaemon(argv: readonly string[], options: DaemonOptions): Daemon {
  assertOpen();
  const { name, folder, group, within, environment = {} } = options;
  mkdirSync(folder, { recursive: true });
  const path = join(folder, `${name}.log`);
  const log = openSync(path, 'a');
  const whole = [...(within === undefined ? [] : entering(within)), ...argv];
  const child: ChildProcess = spawn(
    'sh',
    ['-ec', `${enterGroup(group)}; exec "$@"`, 'sh', ...whole],
    {
      cwd: folder,
      env: childEnvironment(environment),
      stdio: ['ignore', log, log],
      // A key that interrupts the test does not reach it: the supervisor ends it.
      detached: true,
    },
  );
  closeSync(log);
  child.on('error', () => undefined);
  return {
    name,
    pid: child.pid ?? -1,
    isUp: () => child.exitCode === null && child.signalCode === null,
    tail: (lines) => readFileSync(path, 'utf8').split('\n').slice(-lines).join('\n'),
  };
}

/** Waits until a daemon is as `isSo` says; fails with its last lines when it ends instead. */
export async function daemonIs(
  daemon: Daemon,
  what: string,
  isSo: () => boolean | Promise<boolean>,
): Promise<void> {
  await until(
    async () => {
      if (!daemon.isUp()) throw new Error(`${daemon.name} ended:\n${daemon.tail(30)}`);
      return isSo();
    },
    `${daemon.name}: ${what}`,
    readyMs,
  ).catch((error: unknown) => {
    throw new Error(`${daemon.name} is not as it should be:\n${daemon.tail(30)}`, { cause: error });
  });
}

/** Runs a program to its end, which must be a good one, and gives what it wrote. */
export async function run(argv: readonly string[], timeoutMs = readyMs): Promise<string> {
  const [program = '', ...args] = argv;
  const { code, stdout, stderr } = await runProgram(program, args, { timeoutMs });
  if (code !== 0) throw new Error(`${argv.join(' ')} ended with ${code}: ${stderr}${stdout}`);
  return stdout;
}
