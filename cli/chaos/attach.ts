// Finding the run that faults are injected into: it must go on, and its processes must be here.

import { setTimeout as wait } from 'node:timers/promises';
import type { RunStatus } from '../../shared/control/admin.js';
import { OperatorError } from '../../shared/problems.js';
import { readRunRecord } from '../../shared/spec/record.js';
import { openStore } from '../../shared/store/open-store.js';
import type { ObjectStore } from '../../shared/store/store.js';
import { runId, runUrl } from '../run-location.js';
import { storeOptions } from '../store-options.js';
import { faultKinds, obeyedFaults, signalFaults, type WeightedFault } from './faults.js';
import { isLockstep } from './injection.js';
import { watchRun, type RunWatch } from './run-watch.js';

/** How long somebody may take to answer: the coordinator may be starting again. */
const patienceMs = 3_000;

/** How long a coordinator that is there may take: its machine may be busy, or it is frozen. */
const longPatienceMs = 15_000;

export interface AttachedRun {
  readonly run: string;
  readonly url: string;
  readonly store: ObjectStore;
  readonly watch: RunWatch;
  readonly status: RunStatus;
  readonly microShards: number;
  close(): Promise<void>;
}

/** Finds the run that the operator named; an OperatorError when it does not go on. */
export async function attachToRun(name: string): Promise<AttachedRun> {
  const url = runUrl(name);
  const store = openStore(url, storeOptions());
  try {
    const { spec } = await readRunRecord(store);
    const watch = watchRun(store, runId(url));
    const status = await firstStatus(watch);
    if (status === undefined || status.stage === 'ended') {
      watch.close();
      throw notGoingOn(url);
    }
    const close = async (): Promise<void> => {
      watch.close();
      await store.close();
    };
    return { run: runId(url), url, store, watch, status, ...spec.batch, close };
  } catch (error) {
    await store.close();
    throw error;
  }
}

async function firstStatus(watch: RunWatch): Promise<RunStatus | undefined> {
  const startMs = performance.now();
  for (;;) {
    const status = await watch.look();
    if (status !== undefined) return status;
    // A run without a coordinator's address has never been led.
    if (watch.leader === undefined) return undefined;
    const limitMs = isLockstep(watch.leader.term.pid) ? longPatienceMs : patienceMs;
    if (performance.now() - startMs > limitMs) return undefined;
    await wait(200);
  }
}

function notGoingOn(url: string): OperatorError {
  return new OperatorError('the run is not going on', [
    {
      key: 'RUN',
      given: url,
      allowed: 'a run that trains on this machine',
      hint: `go on with it: lockstep resume ${url} --workers 2 --allow-faults`,
    },
  ]);
}

/** The faults that can be injected into the run, and why others can not. */
export interface PossibleFaults {
  readonly faults: readonly WeightedFault[];
  readonly notes: readonly string[];
}

/** Leaves out what the run does not allow; an OperatorError when nothing is left. */
export function possibleFaults(
  wanted: readonly WeightedFault[],
  status: RunStatus,
  host: string,
): PossibleFaults {
  const connected = status.workers.filter(({ isConnected }) => isConnected);
  const hosts = [...new Set(connected.map((worker) => worker.host))].sort();
  const isElsewhere = hosts.length > 0 && !hosts.includes(host);
  const isDeaf = connected.length > 0 && !connected.some(({ allowsFaults }) => allowsFaults);
  const names = (kinds: ReadonlySet<string>): string =>
    wanted
      .map(({ kind }) => kind)
      .filter((kind) => kinds.has(kind))
      .join(', ');
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
