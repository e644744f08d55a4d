// A coordinator beside others: which lease it waits for, and what it does that stood by while
// another one ended the run. That is nothing but to say so: if it led, workers and operators would
// see the run begin once more.

import { hostname } from 'node:os';
import { exitCodes } from '../shared/exit-codes.js';
import { lastStep } from '../shared/spec/schema.js';
import { openStore } from '../shared/store/open-store.js';
import type { ObjectStore } from '../shared/store/store.js';
import { leaseKey, type Lease, type LeaseBoard } from './edge/lease.js';
import { createNatsLease } from './edge/nats-lease.js';
import { planRun, type RunRequest } from './edge/run-plan.js';
import type { CoordinatorMainOptions } from './main.js';

/** The lease of a run that has one. */
export interface HeldLease {
  readonly lease: Lease | undefined;
  /** Of a lease that can carry more than its holder. */
  readonly board: LeaseBoard | undefined;
}

/** The lease that the options name, unsent. */
export async function openLease(options: CoordinatorMainOptions): Promise<HeldLease> {
  const { standby, leaseUrl, nats, runUrl, onLine } = options;
  const onNotice = (text: string): void => onLine({ kind: 'notice', text });
  if (standby && leaseUrl !== undefined) {
    // The client of Kubernetes is large, and nobody else needs it.
    const { createKubernetesLease } = await import('./edge/kubernetes-lease.js');
    const lease = createKubernetesLease({ url: leaseUrl, runUrl, onNotice });
    return { lease, board: lease };
  }
  if (!standby || nats === undefined) return { lease: undefined, board: undefined };
  const holder = `pid ${process.pid} on ${hostname()}`;
  const lease = createNatsLease({ ...nats, key: leaseKey(runUrl), holder, onNotice });
  return { lease, board: undefined };
}

/**
 * Reports the end of a run that a lease says is finished. False, and nothing is reported, where the
 * store does not have the spec's last step: a lease alone is no proof. What does not fit together
 * is an OperatorError, as it is for whoever leads.
 */
export async function reportFinished(options: CoordinatorMainOptions): Promise<boolean> {
  const { run, runUrl, storeOptions, onLine } = options;
  const store = openStore(runUrl, storeOptions);
  try {
    const { record, savedStep, savedSha256 } = await planRun(runRequest(options, store));
    if (savedStep === undefined || savedStep < lastStep(record.spec)) return false;
    const reason = 'another coordinator has ended the run';
    const end = { step: savedStep, sha256: savedSha256, reason, exit_code: exitCodes.ok };
    onLine({ kind: 'finished', run, url: runUrl, ...end });
    return true;
  } finally {
    await store.close();
  }
}

/** What the run is planned from. */
export function runRequest(options: CoordinatorMainOptions, store: ObjectStore): RunRequest {
  return {
    ...{ run: options.run, store, storeOptions: options.storeOptions },
    ...{ spec: options.spec, datasetUrl: options.datasetUrl, ifExists: options.ifExists },
    ...{ worldSize: options.worldSize, until: options.stopAfter, nowMs: Date.now() },
  };
}
