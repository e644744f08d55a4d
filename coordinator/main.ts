// Builds a coordinator out of its parts and runs it: it waits for the lease if there are several,
// binds its address, plans the run, takes the next term, and leads.

import { hostname } from 'node:os';
import { lastStep, type RunSpec } from '../shared/spec/schema.js';
import type { EventBus } from '../shared/events/bus.js';
import { createNatsBus } from '../shared/events/nats-bus.js';
import { createSilentBus } from '../shared/events/silent-bus.js';
import { exitCodes, type ExitCode } from '../shared/exit-codes.js';
import { openStore, type StoreOptions } from '../shared/store/open-store.js';
import { createRunningStores } from '../shared/store/store-notices.js';
import { leadRun } from './coordinator.js';
import { defaultTiming, type CoordinatorConfig } from './core/state.js';
import { createAdministration } from './edge/administration.js';
import { leaseKey, type Lease } from './edge/lease.js';
import type { Leading } from './edge/leading.js';
import { createNatsLease } from './edge/nats-lease.js';
import { createReporter, type ReportLine } from './edge/reporter.js';
import { planRun, recordRun, type RunPlan } from './edge/run-plan.js';
import { createSessions, type Sessions } from './edge/sessions.js';
import { watchTerm } from './edge/term-watch.js';
import { claimTerm } from './edge/terms.js';

/** Longest wait at the end for events that the bus has not taken yet. */
const flushMs = 5_000;

export interface CoordinatorMainOptions {
  /** "host:port" to serve the workers at; port 0 for any. */
  readonly listen: string;
  /** The run's folder, and its id. */
  readonly runUrl: string;
  readonly run: string;
  /** The spec of a new run; undefined resumes the run that is there. */
  readonly spec: RunSpec | undefined;
  readonly worldSize: number;
  /** Halt after this step instead of the spec's last. */
  readonly stopAfter: number | undefined;
  readonly natsUrl: string | undefined;
  /** Lead only while holding the run's lease in NATS. */
  readonly standby: boolean;
  /** How the object store is reached; once the run is led it is waited for much longer. */
  readonly storeOptions: StoreOptions;
  readonly joinTimeoutMs: number;
  readonly stop: AbortSignal;
  readonly onLine: (line: ReportLine) => void;
}

/** Runs a coordinator to its run's end; the last line told is the result. */
export async function coordinatorMain(options: CoordinatorMainOptions): Promise<ExitCode> {
  const lease = openLease(options);
  try {
    await lease?.acquire(options.stop);
  } catch (error) {
    if (options.stop.aborted) return exitCodes.stopped;
    throw error;
  }
  try {
    return await serve(options, lease);
  } finally {
    await lease?.release();
  }
}

function openLease({ standby, natsUrl, runUrl, onLine }: CoordinatorMainOptions) {
  if (!standby || natsUrl === undefined) return undefined;
  return createNatsLease({
    url: natsUrl,
    key: leaseKey(runUrl),
    holder: `pid ${process.pid} on ${hostname()}`,
    onNotice: (text) => onLine({ kind: 'notice', text }),
  });
}

/** The address is bound first: a run must not be there that nobody can lead. */
async function serve(options: CoordinatorMainOptions, lease: Lease | undefined): Promise<ExitCode> {
  const administration = createAdministration(options);
  const sessions = await createSessions(options.listen, administration.addServices);
  const store = openStore(options.runUrl, options.storeOptions);
  try {
    const plan = await planRun({
      ...{ run: options.run, store, storeOptions: options.storeOptions, spec: options.spec },
      ...{ worldSize: options.worldSize, until: options.stopAfter, nowMs: Date.now() },
    });
    await recordRun(store, plan);
    const term = await claimTerm(store, {
      ...{ address: reachable(sessions.address), pid: process.pid, host: hostname() },
      startedAt: new Date().toISOString(),
    });
    options.onLine({ kind: 'listening', address: sessions.address, term });
    return await lead(options, { lease, sessions, plan, term }, administration.lead);
  } finally {
    await sessions.close(0);
    await store.close();
  }
}

/** An address that binds everything names nothing. */
function reachable(address: string): string {
  const port = address.slice(address.lastIndexOf(':'));
  const host = address.slice(0, -port.length);
  return ['0.0.0.0', '[::]', ''].includes(host) ? `${hostname()}${port}` : address;
}

interface Parts {
  readonly lease: Lease | undefined;
  readonly sessions: Sessions;
  readonly plan: RunPlan;
  readonly term: number;
}

async function lead(
  options: CoordinatorMainOptions,
  { lease, sessions, plan, term }: Parts,
  administer: ReturnType<typeof createAdministration>['lead'],
): Promise<ExitCode> {
  // The result is the last line, after what is left to say about the bus.
  let result: ReportLine | undefined;
  const onLine = (line: ReportLine): void => {
    if (line.kind === 'finished' || line.kind === 'stopped' || line.kind === 'failed')
      result = line;
    else options.onLine(line);
  };
  const onNotice = (text: string): void => onLine({ kind: 'notice', text });
  const stores = createRunningStores(options.storeOptions, onNotice);
  const store = openStore(options.runUrl, stores.options);
  const bus = openBus(options, onNotice);
  const config = configOf(options, plan, term);
  const { until } = config;
  const reporter = createReporter({
    ...{ run: options.run, url: options.runUrl, spec: plan.record.spec, until, store, bus },
    ...{ startStep: plan.startStep, startSha256: plan.savedSha256, now: Date.now, onLine },
  });
  let stopWatching = (): void => undefined;
  const onLeading = (leading: Leading): void => {
    administer(leading, reporter);
    stopWatching = watchTerm(store, term, lease, (later) =>
      leading.dispatch({ kind: 'superseded', term: later }),
    );
  };
  const { runUrl, stop } = options;
  const code = await leadRun({ sessions, runUrl, plan, config, store, reporter, stop }, onLeading);
  stopWatching();
  await closeBus(bus, onNotice);
  await store.close();
  stores.close();
  if (result !== undefined) options.onLine(result);
  return code;
}

function configOf(
  options: CoordinatorMainOptions,
  { record, savedFingerprint }: RunPlan,
  term: number,
): CoordinatorConfig {
  const last = lastStep(record.spec);
  return {
    term,
    worldSize: options.worldSize,
    microShards: record.spec.batch.microShards,
    allowsMixed: record.spec.engine.mixed,
    savedFingerprint,
    until: options.stopAfter ?? last,
    lastStep: last,
    timing: { ...defaultTiming, joinTimeoutMs: options.joinTimeoutMs },
  };
}

function openBus(
  { natsUrl, run }: CoordinatorMainOptions,
  onNotice: (text: string) => void,
): EventBus {
  return natsUrl === undefined
    ? createSilentBus(onNotice)
    : createNatsBus({ url: natsUrl, run, onNotice });
}

async function closeBus(bus: EventBus, onNotice: (text: string) => void): Promise<void> {
  const left = await bus.flush(flushMs);
  if (left > 0) onNotice(`${left} events could not be published`);
  await bus.close();
}
