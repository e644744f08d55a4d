// A run of real processes that speak TLS with each other on this machine, by TCP: a coordinator and
// workers, each started by itself.

import type { Authority } from '../../../shared/tls/authority.js';
import { startLockstep, type RunningCommand } from '../lockstep-command.js';
import { createTlsFolder, type TlsFolder } from './tls-folder.js';

/** A process of the run, and what it has said on stderr so far. */
export interface ClosedProcess extends RunningCommand {
  said(): string;
}

export interface ClosedRun {
  readonly tls: TlsFolder;
  readonly coordinator: ClosedProcess;
  /** "127.0.0.1:port" */
  readonly address: string;
  /** Starts a worker; with other certificates if it is given some. */
  join(worker: string, tlsDir?: string, more?: readonly string[]): ClosedProcess;
  /** Ends what is still there. */
  close(): Promise<void>;
}

export interface ClosedRunOptions {
  /** The run's id, and its spec's file in `cwd`. */
  readonly run: string;
  readonly spec: string;
  readonly cwd: string;
  /** Those whose certificates there are. */
  readonly workers: readonly string[];
  readonly worldSize: number;
  readonly coordinatorArgs?: readonly string[];
  /** Who issues the certificates; a new one if not given. */
  readonly authority?: Authority;
}

/** Starts the coordinator; nobody has joined it yet. */
export async function startClosedRun(options: ClosedRunOptions): Promise<ClosedRun> {
  const { run, spec, cwd, workers, worldSize, coordinatorArgs = [] } = options;
  const others = (['coordinator', 'operator', 'observer'] as const).map((role) => ({ role }));
  const holders = [...others, ...workers.map((worker) => ({ role: 'worker' as const, worker }))];
  const tls = await createTlsFolder(run, holders, options.authority);
  const started: RunningCommand[] = [];
  const start = (args: readonly string[]): ClosedProcess => {
    let said = '';
    const listener = {
      onLine: () => undefined,
      onSaid: (text: string) => void (said += `${text}\n`),
    };
    const command = startLockstep(args, cwd, { LOCKSTEP_LOG_LEVEL: 'info' }, 240_000, listener);
    started.push(command);
    return { ...command, said: () => said };
  };
  const coordinator = start([
    ...['coordinator', '-f', spec, '--run', run, '--workers', String(worldSize), '--json'],
    ...['--listen', '127.0.0.1:0', '--tls-dir', tls.folder, ...coordinatorArgs],
  ]);
  const address = String((await coordinator.line('listening'))['address']);
  return {
    ...{ tls, coordinator, address },
    join: (worker, tlsDir = tls.folder, more = []) =>
      start([
        ...['worker', '--coordinator', address, '--id', worker, '--tls-dir', tlsDir],
        // Under another name than where it listens: peers come by TCP, not by a Unix socket.
        ...['--listen', '127.0.0.1:0', '--advertise', 'localhost', '--threads', '1', ...more],
      ]),
    close: async () => {
      for (const { process } of started) process.kill('SIGKILL');
      await Promise.all(started.map(({ result }) => result));
    },
  };
}
