// The faults of `lockstep chaos`: their names, what each needs, the operator's list of them, which
// of them a run allows, and how each is done. Whatever is stopped here goes on again, at the latest
// when this process ends.

import { readFileSync } from 'node:fs';
import type { AdminClient, RunStatus } from '../../shared/control/admin.js';
import type { FaultMessage } from '../../shared/control/messages.js';
import { OperatorError, messageOf, type Problem } from '../../shared/problems.js';

/** All faults, in the order in which they are listed. */
export const faultKinds = [
  'kill',
  'freeze',
  'drain',
  'mute',
  'half-open',
  'flip',
  'coordinator',
  'coordinator-freeze',
  'scale',
] as const;

export type FaultKind = (typeof faultKinds)[number];

/** What each does, in a few words. */
export const faultWords: Readonly<Record<FaultKind, string>> = {
  kill: 'a worker is killed (SIGKILL)',
  freeze: 'a worker stands still for some seconds (SIGSTOP, SIGCONT)',
  drain: 'a worker is asked to leave (SIGTERM)',
  mute: 'nothing passes between two workers for some seconds',
  'half-open': "a worker's connections stay open and say nothing for some seconds",
  flip: "one bit of a worker's state changes",
  coordinator: 'the coordinator is killed (SIGKILL)',
  'coordinator-freeze': 'the coordinator stands still for some seconds',
  scale: 'the run gets another number of workers',
};

/** Faults that a worker obeys only if it was started with --allow-faults. */
export const obeyedFaults: ReadonlySet<FaultKind> = new Set(['mute', 'half-open', 'flip']);

/** Faults that strike the coordinator. */
export const coordinatorFaults: ReadonlySet<FaultKind> = new Set([
  'coordinator',
  'coordinator-freeze',
]);

/** Faults by signal: the processes must be on this machine. */
export const signalFaults: ReadonlySet<FaultKind> = new Set([
  ...(['kill', 'freeze', 'drain'] as const),
  ...coordinatorFaults,
]);

/** A fault and how often it is wanted, compared with the others. */
export interface WeightedFault {
  readonly kind: FaultKind;
  readonly weight: number;
}

/**
 * The faults of a list such as "kill:3,freeze" or "all,kill:3"; what comes later in the list
 * counts. Throws an OperatorError with all that is wrong.
 */
export function parseFaults(list: string): WeightedFault[] {
  const problems: Problem[] = [];
  const weights = new Map<FaultKind, number>();
  for (const item of list.split(',')) {
    const [name = '', text = '1'] = item.trim().split(':', 2);
    const weight = Number(text);
    const kinds = name === 'all' ? faultKinds : faultKinds.filter((kind) => kind === name);
    if (kinds.length === 0)
      problems.push({ key: '--faults', given: name, allowed: [...faultKinds, 'all'].join(', ') });
    else if (!(weight > 0 && weight <= 1000) || text.trim() === '')
      problems.push({
        key: `--faults ${name}`,
        given: text,
        allowed: 'a weight above 0, up to 1000',
      });
    for (const kind of kinds) weights.set(kind, weight);
  }
  if (problems.length > 0) throw new OperatorError('the faults are not clear', problems);
  return faultKinds.flatMap((kind) => {
    const weight = weights.get(kind);
    return weight === undefined ? [] : [{ kind, weight }];
  });
}

/**
 * Those of `wanted` that the run allows, and notes on what was left out. Throws an OperatorError
 * when nothing is left.
 */
export function possibleFaults(
  wanted: readonly WeightedFault[],
  status: RunStatus,
  host: string,
): { readonly faults: readonly WeightedFault[]; readonly notes: readonly string[] } {
  const connected = status.workers.filter(({ isConnected }) => isConnected);
  const hosts = [...new Set(connected.map((worker) => worker.host))].sort();
  const isElsewhere = hosts.length > 0 && !hosts.includes(host);
  const isDeaf = connected.length > 0 && !connected.some(({ allowsFaults }) => allowsFaults);
  const names = (kinds: ReadonlySet<FaultKind>): string =>
    wanted.flatMap(({ kind }) => (kinds.has(kind) ? [kind] : [])).join(', ');
  if (isElsewhere && names(signalFaults) !== '')
    throw new OperatorError('the processes of the run are on another machine', [
      {
        key: '--faults',
        given: names(signalFaults),
        allowed: faultKinds.filter((kind) => !signalFaults.has(kind)).join(', '),
        hint: `signals reach processes of ${host} only, and the workers are on ${hosts.join(', ')}`,
      },
    ]);
  if (!isDeaf || names(obeyedFaults) === '') return { faults: wanted, notes: [] };
  const faults = wanted.filter(({ kind }) => !obeyedFaults.has(kind));
  const reason = 'the workers of this run do not obey: start it with --allow-faults';
  if (faults.length === 0)
    throw new OperatorError('no fault can be injected', [
      {
        key: '--faults',
        given: names(obeyedFaults),
        allowed: faultKinds.filter((kind) => !obeyedFaults.has(kind)).join(', '),
        hint: `${reason} (lockstep train, lockstep resume)`,
      },
    ]);
  return { faults, notes: [`left out: ${names(obeyedFaults)}; ${reason}`] };
}

/** A fault that the schedule wants now. */
export interface PlannedFault {
  readonly kind: FaultKind;
  /** A worker, or "coordinator", or "run". */
  readonly victim: string;
  /** The other end of a muted link. */
  readonly peer: string;
  /** How long it lasts; 0 for what happens at once. */
  readonly seconds: number;
  /** Of scale: how many workers the run is to have. */
  readonly workers: number;
}

export interface Injector {
  /** Does it; resolves with the reason when it could not be done. */
  inject(fault: PlannedFault, status: RunStatus, client: AdminClient): Promise<string | undefined>;
  /** Whether a process stands still. */
  readonly isFreezing: boolean;
  /** Lets all go on that stand still. */
  thaw(): void;
}

/** The injector of this process. */
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
          return refusalOf(client.scale(fault.workers));
        case 'mute':
        case 'half-open':
        case 'flip':
          return refusalOf(client.injectFault(fault.victim, faultMessageOf(fault)));
      }
    },
  };
}

function faultMessageOf({ kind, seconds, peer }: PlannedFault): FaultMessage {
  const fault = kind === 'mute' || kind === 'flip' ? kind : 'freeze';
  return { kind: 'fault', fault, seconds, peer };
}

async function refusalOf(request: Promise<unknown>): Promise<string | undefined> {
  try {
    await request;
    return undefined;
  } catch (error) {
    return messageOf(error);
  }
}

/** The reason when the signal could not be sent. */
function signal(pid: number, name: NodeJS.Signals): string | undefined {
  if (!isLockstep(pid)) return `process ${pid} is no lockstep process of this machine`;
  try {
    process.kill(pid, name);
    return undefined;
  } catch (error) {
    return `process ${pid}: ${messageOf(error)}`;
  }
}

/**
 * Whether a lockstep process has this id. Another program can have got the id since; Linux reports
 * which program it is.
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
