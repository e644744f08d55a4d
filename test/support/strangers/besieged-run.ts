// A run whose every process is its own, as on several machines, with all of its doors known: who
// attacks it sees what comes of its steps, of its processes' memory and of their log lines.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { exitCodes } from '../../../shared/exit-codes.js';
import { runLockstep, startLockstep, type RunningCommand } from '../lockstep-command.js';
import { freePort } from '../servers.js';
import { testFolder, writeRuns } from '../tiny-run.js';
import { until } from '../until.js';
import type { DoorKind } from './attacks.js';
import type { Target } from './flood.js';

export interface NamedDoor {
  /** "coordinator", "w-0", "w-0 lane 1", "page", "metrics of w-1" */
  readonly name: string;
  readonly kind: DoorKind;
  readonly target: Target;
}

/** A process of the run. */
interface Besieged {
  readonly name: string;
  readonly command: RunningCommand;
  /** MiB that it had when the attacks began, and the most since. */
  baseMib: number;
  peakMib: number;
}

export interface BesiegedRun {
  readonly address: string;
  readonly doors: readonly NamedDoor[];
  /** The newest step that was reported. */
  step(): number;
  /** Waits for further steps. */
  advances(steps: number): Promise<void>;
  /** The most memory of each process over what it had at first, MiB. */
  growth(): ReadonlyMap<string, number>;
  /** Lines of the logs of all processes so far. */
  said(): string;
  /** Stops the run, and trains as many steps undisturbed; fails unless the bytes are equal. */
  endsWithItsBytes(): Promise<void>;
  close(): Promise<void>;
}

/**
 * Starts a coordinator and two workers, each of two lanes, with a page and metrics; all with the
 * certificates in a folder if one is given.
 */
export async function startBesieged(tlsFolder?: string): Promise<BesiegedRun> {
  const folder = testFolder();
  await writeRuns(folder, { long: { steps: 1_000_000, checkpoint: { everySteps: 500, keep: 2 } } });
  const [port, page, ...metrics] = await Promise.all([1, 2, 3, 4, 5].map(() => freePort()));
  const lanes = await Promise.all([freePair(), freePair()]);
  const address = `127.0.0.1:${port}`;
  const at = (free: number): string => `127.0.0.1:${free}`;
  const processes: Besieged[] = [];
  const start = (name: string, args: readonly string[]): RunningCommand => {
    const tls = tlsFolder === undefined ? [] : ['--tls-dir', tlsFolder];
    const command = startLockstep([...args, ...tls], folder, {}, 540_000);
    processes.push({ name, command, baseMib: 0, peakMib: 0 });
    return command;
  };
  const coordinator = start('coordinator', [
    ...['coordinator', '-f', 'long.yaml', '--run', 'run', '--workers', '2'],
    ...['--listen', address, '--http', at(page), '--metrics', at(metrics[0]), '--json'],
  ]);
  await coordinator.line('listening');
  for (const i of [0, 1])
    start(`w-${i}`, [
      ...['worker', '--coordinator', address, '--id', `w-${i}`, '--lanes', '2'],
      ...['--listen', at(lanes[i])],
      ...['--metrics', at(metrics[1 + i])],
    ]);
  const step = (): number =>
    Number(coordinator.lines().findLast(({ kind }) => kind === 'step')?.['step'] ?? 0);
  const advances = async (steps: number): Promise<void> => {
    const from = step();
    await until(() => step() >= from + steps, `${steps} steps after ${from}`, 60_000);
  };
  await coordinator.line('step', (line) => Number(line['step']) >= 30);
  for (const one of processes) one.baseMib = one.peakMib = residentMib(one);
  const watch = setInterval(() => {
    for (const one of processes) one.peakMib = Math.max(one.peakMib, residentMib(one));
  }, 100);
  const here = (free: number): Target => ({ host: '127.0.0.1', port: free });
  const doors: NamedDoor[] = [
    { name: 'coordinator', kind: 'control', target: here(port) },
    ...lanes.flatMap((first, i) =>
      [0, 1].map((lane): NamedDoor => {
        return { name: `w-${i} lane ${lane}`, kind: 'exchange', target: here(first + lane) };
      }),
    ),
    { name: 'page', kind: 'http', target: here(page) },
    { name: 'metrics of w-0', kind: 'http', target: here(metrics[1]) },
  ];
  return {
    ...{ address, doors, step, advances },
    growth: () => new Map(processes.map(({ name, baseMib, peakMib }) => [name, peakMib - baseMib])),
    said: () => processes.map(({ command }) => command.said()).join('\n'),
    endsWithItsBytes: async () => {
      coordinator.process.kill('SIGTERM');
      const [{ code, lines, stderr }] = await Promise.all(
        processes.map(({ command }) => command.result),
      );
      assert.equal(code, exitCodes.stopped, stderr);
      const last = lines.at(-1);
      const args = ['train', '-f', 'long.yaml', '--workers', '1', '--run', 'unhurt', '--json'];
      const stop = ['--stop-after', String(last?.['step'])];
      const whole = await runLockstep([...args, ...stop], folder, {}, 300_000);
      assert.equal(whole.lines.at(-1)?.['step'], last?.['step'], whole.stderr);
      assert.equal(whole.lines.at(-1)?.['sha256'], last?.['sha256']);
    },
    close: async () => {
      clearInterval(watch);
      for (const { command } of processes) command.process.kill('SIGKILL');
      await Promise.all(processes.map(({ command }) => command.result));
    },
  };
}

/** The first of two neighbouring ports that are free. */
async function freePair(): Promise<number> {
  for (let tries = 0; tries < 50; tries++) {
    const port = await freePort();
    const isFree = await new Promise<boolean>((resolve) => {
      const server = createServer()
        .once('error', () => resolve(false))
        .listen(port + 1, '127.0.0.1', () => server.close(() => resolve(true)));
    });
    if (isFree) return port;
  }
  throw new Error('no two ports are free');
}

/** MiB of memory that a process has; 0 when it is gone. */
function residentMib({ command }: Besieged): number {
  try {
    const status = readFileSync(`/proc/${command.process.pid}/status`, 'utf8');
    return Number(/^VmRSS:\s+(\d+)/m.exec(status)?.[1] ?? 0) / 1024;
  } catch {
    return 0;
  }
}
