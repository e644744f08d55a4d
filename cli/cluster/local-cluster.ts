// A cluster on one machine: one coordinator and N workers, each a process of its own, started the
// way a person would start them on several machines.

import { spawn, type ChildProcess } from 'node:child_process';
import { availableParallelism } from 'node:os';
import { createInterface } from 'node:readline';
import { exitCodes } from '../../shared/exit-codes.js';
import { packageFile } from '../../shared/paths.js';
import { how, isResult, noteLine, runResult, type Departure, type RunFacts } from './run-result.js';

/** How long workers may take to leave after the coordinator has told the result. */
const leaveMs = 2_000;

/** How long the coordinator may take to end after its last worker: it may be frozen. */
const outliveMs = 20_000;

export interface LocalClusterOptions {
  /** Arguments of `lockstep coordinator`, without --json, --listen and --workers. */
  readonly coordinatorArgs: readonly string[];
  readonly workers: number;
  /** Each line of the coordinator, parsed; the last one tells the result. */
  readonly onLine: (line: Readonly<Record<string, unknown>>) => void;
  /** What a process says on stderr. */
  readonly onComplaint: (text: string) => void;
  readonly stop: AbortSignal;
}

/** Runs a local cluster to the end of its run; resolves with its exit code. */
export async function runLocalCluster(options: LocalClusterOptions): Promise<number> {
  const { workers, onLine, stop } = options;
  const args = ['--json', '--listen', '127.0.0.1:0', '--workers', String(workers)];
  const coordinator = start(['coordinator', ...options.coordinatorArgs, ...args], options);
  // Workers share the cores; the bytes do not depend on threads.
  const threads = String(Math.max(1, Math.floor(availableParallelism() / workers)));
  const children: ChildProcess[] = [];
  let isFormed = false;
  let facts: RunFacts = {};
  let leaving: Promise<void> | undefined;
  let outliving: NodeJS.Timeout | undefined;
  let early: { exitCode: number; reason: string } | undefined;
  const startWorkers = (address: string): void => {
    for (let i = 0; i < workers; i++) {
      const args = ['--coordinator', address, '--id', `worker-${i}`, '--threads', threads];
      const worker = start(['worker', ...args], options);
      children.push(worker);
      onLine({ kind: 'worker', worker: `worker-${i}`, pid: worker.pid });
      worker.once('close', (code, signal) => {
        if (children.every(hasEnded))
          outliving = setTimeout(() => coordinator.kill('SIGKILL'), outliveMs);
        // Before the world is formed nobody else would notice for a minute.
        if (isFormed || code === exitCodes.ok) return;
        const reason = `worker-${i} ${how({ code, signal })} before the world was formed`;
        early ??= { exitCode: code ?? exitCodes.failed, reason };
        coordinator.kill('SIGTERM');
      });
    }
  };
  if (coordinator.stdout !== null)
    createInterface({ input: coordinator.stdout }).on('line', (text) => {
      const line = JSON.parse(text) as Record<string, unknown>;
      if (line['kind'] === 'listening') startWorkers(String(line['address']));
      if (line['kind'] === 'world') isFormed = true;
      facts = noteLine(facts, line);
      if (isResult(line)) leaving = leave(children);
      else onLine(line);
    });
  const onStop = (): void => void coordinator.kill('SIGTERM');
  stop.addEventListener('abort', onStop);
  const departure = await closed(coordinator);
  stop.removeEventListener('abort', onStop);
  await (leaving ?? leave(children));
  clearTimeout(outliving);
  const { exitCode, line } = runResult(facts, departure, workers, stop.aborted, early);
  if (line !== undefined) onLine(line);
  return exitCode;
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

function closed(child: ChildProcess): Promise<Departure> {
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code, signal) => resolve({ code, signal }));
  });
}

function hasEnded({ exitCode, signalCode }: ChildProcess): boolean {
  return exitCode !== null || signalCode !== null;
}

async function leave(children: readonly ChildProcess[]): Promise<void> {
  const running = children.filter((child) => !hasEnded(child));
  const timer = setTimeout(() => {
    for (const child of running) child.kill('SIGKILL');
  }, leaveMs);
  await Promise.all(running.map(closed));
  clearTimeout(timer);
}
