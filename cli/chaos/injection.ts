// Doing a fault: signals to processes of this machine, requests to the coordinator. Whatever is
// stopped here goes on again, at the latest when this process ends.

import { readFileSync } from 'node:fs';
import type { AdminClient, RunStatus } from '../../shared/control/admin.js';
import type { FaultMessage } from '../../shared/control/messages.js';
import type { PlannedFault } from './schedule.js';

export interface Injector {
  /** Does it; gives the reason when it could not be done. */
  inject(fault: PlannedFault, status: RunStatus, client: AdminClient): Promise<string | undefined>;
  /** Whether a process stands still. */
  readonly isFreezing: boolean;
  /** Lets all go on that stand still. */
  thaw(): void;
}

/** Creates the injector of this process. */
export function createInjector(): Injector {
  const frozen = new Map<number, NodeJS.Timeout>();
  const thawOne = (pid: number): void => {
    clearTimeout(frozen.get(pid));
    if (frozen.delete(pid)) signal(pid, 'SIGCONT');
  };
  const thaw = (): void => [...frozen.keys()].forEach(thawOne);
  const freeze = (pid: number, seconds: number): string | undefined => {
    const refusal = signal(pid, 'SIGSTOP');
    if (refusal === undefined) {
      clearTimeout(frozen.get(pid));
      frozen.set(pid, setTimeout(thawOne, 1000 * seconds, pid));
    }
    return refusal;
  };
  process.once('exit', thaw);
  return {
    get isFreezing() {
      return frozen.size > 0;
    },
    thaw,
    inject: async (fault, status, client) => {
      const pid = status.workers.find(({ worker }) => worker === fault.victim)?.pid ?? 0;
      switch (fault.kind) {
        case 'kill':
          return signal(pid, 'SIGKILL');
        case 'freeze':
          return freeze(pid, fault.seconds);
        case 'drain':
          return signal(pid, 'SIGTERM');
        case 'coordinator':
          return signal(status.coordinatorPid, 'SIGKILL');
        case 'coordinator-freeze':
          return freeze(status.coordinatorPid, fault.seconds);
        case 'scale':
          return asked(client.scale(fault.workers));
        case 'mute':
        case 'half-open':
        case 'flip':
          return asked(client.injectFault(fault.victim, messageOf(fault)));
      }
    },
  };
}

function messageOf({ kind, seconds, peer }: PlannedFault): FaultMessage {
  const fault = kind === 'mute' || kind === 'flip' ? kind : 'freeze';
  return { kind: 'fault', fault, seconds, peer };
}

async function asked(request: Promise<unknown>): Promise<string | undefined> {
  try {
    await request;
    return undefined;
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

/** Gives the reason when the signal could not be sent. */
function signal(pid: number, name: NodeJS.Signals): string | undefined {
  if (!isLockstep(pid)) return `process ${pid} is no lockstep process of this machine`;
  try {
    process.kill(pid, name);
    return undefined;
  } catch (error) {
    return `process ${pid}: ${error instanceof Error ? error.message : String(error)}`;
  }
}

/**
 * Whether a lockstep process of that id is there: it can have passed to a stranger, and where the
 * system tells whose it is, it is asked.
 */
export function isLockstep(pid: number): boolean {
  if (pid <= 1 || pid === process.pid) return false;
  try {
    if (process.platform === 'linux')
      return readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes('lockstep');
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}
