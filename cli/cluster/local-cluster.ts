// A cluster on one machine: one coordinator and N workers, each a process of its own, started the
// way a person would start them on several machines.

import { spawn, type ChildProcess } from 'node:child_process';
import { availableParallelism } from 'node:os';
import { createInterface } from 'node:readline';
import { exitCodes } from '../../shared/exit-codes.js';
import { packageFile } from '../../shared/paths.js';

/** How long processes may take to leave after the coordinator has. */
const leaveMs = 10_000;

export interface LocalClusterOptions {
  /** Arguments of `lockstep coordinator`, without --json, --listen and --workers. */
  readonly coordinatorArgs: readonly string[];
  readonly workers: number;
  /** Each line of the coordinator, parsed. */
  readonly onLine: (line: Readonly<Record<string, unknown>>) => void;
  /** What a process says on stderr. */
  readonly onComplaint: (text: string) => void;
  readonly stop: AbortSignal;
}

/** Runs a local cluster to the end of its run; resolves with the coordinator's exit code. */
export async function runLocalCluster(options: LocalClusterOptions): Promise<number> {
  const { workers, onLine, stop } = options;
  const args = ['--json', '--listen', '127.0.0.1:0', '--workers', String(workers)];
  const coordinator = start(['coordinator', ...options.coordinatorArgs, ...args], options);
  // Workers share the cores; the bytes do not depend on threads.
  const threads = String(Math.max(1, Math.floor(availableParallelism() / workers)));
  const children: ChildProcess[] = [];
  let isFormed = false;
  let earlyCode: number | undefined;
  const startWorkers = (address: string): void => {
    for (let i = 0; i < workers; i++) {
      const args = ['--coordinator', address, '--id', `worker-${i}`, '--threads', threads];
      const worker = start(['worker', ...args], options);
      children.push(worker);
      onLine({ kind: 'worker', worker: `worker-${i}`, pid: worker.pid });
      worker.once('close', (code) => {
        // Before the world is formed nobody else would notice for a minute.
        if (isFormed || code === exitCodes.ok) return;
        earlyCode ??= code ?? exitCodes.failed;
        coordinator.kill('SIGTERM');
      });
    }
  };
  if (coordinator.stdout !== null)
    createInterface({ input: coordinator.stdout }).on('line', (text) => {
      const line = JSON.parse(text) as Record<string, unknown>;
      if (line['kind'] === 'listening') startWorkers(String(line['address']));
      if (line['kind'] === 'world') isFormed = true;
      onLine(line);
    });
  const onStop = (): void => void coordinator.kill('SIGTERM');
  stop.addEventListener('abort', onStop);
  const code = await closed(coordinator);
  stop.removeEventListener('abort', onStop);
  await leave(children);
  return earlyCode ?? code;
}

function start(args: readonly string[], options: LocalClusterOptions): ChildProcess {
  const child = spawn(process.execPath, [packageFile('bin/lockstep.js'), ...args], {
    stdio: ['ignore', args[0] === 'coordinator' ? 'pipe' : 'ignore', 'pipe'],
    // A Ctrl-C reaches the cluster once, through its coordinator.
    detached: true,
  });
  if (child.stderr !== null)
    createInterface({ input: child.stderr }).on('line', (text) => options.onComplaint(text));
  const kill = (): void => void child.kill('SIGKILL');
  process.once('exit', kill);
  child.once('close', () => process.removeListener('exit', kill));
  return child;
}

function closed(child: ChildProcess): Promise<number> {
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code) => resolve(code ?? exitCodes.failed));
  });
}

async function leave(children: readonly ChildProcess[]): Promise<void> {
  const running = children.filter((child) => child.exitCode === null && child.signalCode === null);
  const timer = setTimeout(() => {
    for (const child of running) child.kill('SIGKILL');
  }, leaveMs);
  await Promise.all(running.map(closed));
  clearTimeout(timer);
}
