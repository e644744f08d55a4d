// Finding the run that faults are injected into, and looking at it: it must be going on, its
// processes must be here, and whoever leads it is found again when the leader is gone.

import { setTimeout as wait } from 'node:timers/promises';
import { newestTerm, type Term } from '../../coordinator/edge/terms.js';
import { createAdminClient, type AdminClient, type RunStatus } from '../../shared/control/admin.js';
import { exitCodes } from '../../shared/exit-codes.js';
import { OperatorError } from '../../shared/problems.js';
import { readRunRecord } from '../../shared/spec/record.js';
import type { Certificates } from '../../shared/tls/certificates.js';
import type { ObjectStore } from '../../shared/store/store.js';
import { CommandFailed } from '../failure.js';
import { runId, runUrl, withStore } from '../stores.js';
import { handshakeHint } from '../tls/handshake-hint.js';
import { isLockstep } from './faults.js';

/** Longest wait for a first answer: the coordinator may be starting again. */
const patienceMs = 3_000;

/** The same where its process is there: its machine may be busy, or it is frozen. */
const longPatienceMs = 15_000;

export interface AttachedRun {
  readonly run: string;
  readonly url: string;
  readonly store: ObjectStore;
  readonly watch: RunWatch;
  readonly status: RunStatus;
  readonly microShards: number;
}

/** Calls `use` with the run that the operator named; an OperatorError when it is not going on. */
export function withAttachedRun(
  name: string,
  certificates: Certificates | undefined,
  use: (attached: AttachedRun) => Promise<void>,
): Promise<void> {
  const url = runUrl(name);
  const run = runId(url);
  return withStore(url, async (store) => {
    const { spec } = await readRunRecord(store);
    const watch = watchRun(store, run, certificates);
    try {
      const status = await firstStatus(watch);
      if (status === undefined) throw await unanswered(watch.leader, certificates, url);
      if (status.stage === 'ended') throw notGoingOn(url);
      await use({ run, url, store, watch, status, microShards: spec.batch.microShards });
    } finally {
      watch.close();
    }
  });
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

async function unanswered(
  leader: AskedCoordinator | undefined,
  certificates: Certificates | undefined,
  url: string,
): Promise<Error> {
  const address = leader?.term.address;
  const misled = address === undefined ? undefined : await handshakeHint(address, certificates);
  return misled === undefined
    ? notGoingOn(url)
    : new CommandFailed(misled.text, exitCodes.failed, misled.hint);
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

/** Longest wait for a look: a coordinator that takes longer counts as away. */
const answerMs = 1_000;

export interface RunWatch {
  /** The status of the run; undefined when nobody who leads it answers. */
  look(): Promise<RunStatus | undefined>;
  /** The coordinator that was asked last. */
  readonly leader: AskedCoordinator | undefined;
  close(): void;
}

/** A coordinator that leads the run, or did so lately. */
export interface AskedCoordinator {
  readonly term: Term;
  readonly client: AdminClient;
}

/** Watches the run `run`, whose folder is `store`. */
export function watchRun(store: ObjectStore, run: string, certificates?: Certificates): RunWatch {
  let leader: AskedCoordinator | undefined;
  const find = async (): Promise<void> => {
    const term = await newestTerm(store);
    if (term === undefined || term.term === leader?.term.term) return;
    leader?.client.close();
    const client = createAdminClient(term.address, { timeoutMs: answerMs, certificates });
    leader = { term, client };
  };
  const ask = async (): Promise<RunStatus | undefined> => {
    const status = await leader?.client.getStatus().catch(() => undefined);
    // Its port can have passed to the coordinator of another run.
    return status?.run === run ? status : undefined;
  };
  return {
    get leader() {
      return leader;
    },
    look: async () => {
      const status = await ask();
      if (status !== undefined) return status;
      await find().catch(() => undefined);
      return undefined;
    },
    close: () => leader?.client.close(),
  };
}
