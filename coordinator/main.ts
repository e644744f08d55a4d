// Builds a coordinator out of its parts and runs it: it waits for the lease if there are several,
// binds its address, plans the run, takes the next term, and leads.

import { hostname } from 'node:os';
import { lastStep, type RunSpec } from '../shared/spec/schema.js';
import type { NatsAddress } from '../shared/events/nats-url.js';
import { exitCodes, type ExitCode } from '../shared/exit-codes.js';
import { writeRefusals, writeSparingly, type Log } from '../shared/log.js';
import { openStore, type StoreOptions } from '../shared/store/open-store.js';
import { createRunningStores } from '../shared/store/notices.js';
import { processClock } from '../shared/clock.js';
import { sha256Of } from '../shared/sha256.js';
import { canonicalJson } from '../shared/spec/compare.js';
import type { CoordinatorConfig, CoordinatorEvent, Ending } from './core/state.js';
import { defaultTiming } from './core/timing.js';
import { openCheckpoints } from './edge/checkpoints.js';
import { serveLease } from './edge/lease.js';
import { answerOperator, operatorService, type OperatorRequests } from './edge/operator-service.js';
import { openMetrics, type CoordinatorMetrics } from './edge/metrics.js';
import { createQuietWatch } from './edge/quiet.js';
import { createReporter, type ReportLine } from './edge/reporter.js';
import { openRun, type IfExists, type RunPlan } from './edge/run-plan.js';
import { createSessions, type Sessions } from './edge/sessions.js';
import { claimTerm, holdTerm, newestTermNumber, type CoordinatorIdentity } from './edge/terms.js';
import type { ObjectStore } from '../shared/store/store.js';
import { leaveReport } from '../watch/report/final-report.js';
import { openEvents } from './events.js';
import { openGuard, type SessionGuard } from './guard.js';
import { lead } from './leading.js';
import { openLease, reportFinished, runRequest, type HeldLease } from './standing-by.js';
import type { PagePlace } from './watching.js';

/** How often it is looked whether something should be said. */
const quietMs = 1_000;

/** Time that workers have to read the end and leave. */
const leaveMs = 2_000;

export interface CoordinatorMainOptions {
  /** "host:port" to serve the workers at; port 0 for any. */
  readonly listen: string;
  /** The run's folder, and its id. */
  readonly runUrl: string;
  readonly run: string;
  /** The spec of a new run; undefined resumes the run that is there. */
  readonly spec: RunSpec | undefined;
  /** Where the dataset lies now, if it has been moved. */
  readonly datasetUrl: string | undefined;
  readonly ifExists: IfExists;
  readonly worldSize: number;
  /** Halt after this step instead of the spec's last. */
  readonly stopAfter: number | undefined;
  /** The event bus, if there is one. */
  readonly nats: NatsAddress | undefined;
  /** Write TensorBoard's event files into the run's folder. */
  readonly tensorboard: boolean;
  /** Lead only while holding the run's lease: in NATS, or that of `leaseUrl`. */
  readonly standby: boolean;
  /** k8s://NAMESPACE/NAME */
  readonly leaseUrl: string | undefined;
  /** How the object store is reached; once the run is led it is waited for much longer. */
  readonly storeOptions: StoreOptions;
  readonly joinTimeoutMs: number;
  /** Where the page that shows the run is served; undefined: nowhere. */
  readonly page: PagePlace | undefined;
  /** "host:port" to answer for metrics and health at; undefined: nowhere. */
  readonly metrics: string | undefined;
  /** The folder of the certificates; undefined: all is in clear. */
  readonly tlsFolder: string | undefined;
  readonly stop: AbortSignal;
  readonly onLine: (line: ReportLine) => void;
  /** Takes what no line of the report says: sessions, checkpoints found, requests to the store. */
  readonly log: Log;
}

/**
 * Runs a coordinator to its run's end; the last line is the result. In a cluster, one that has to
 * step down stands by again: for each pod that ends, the Job waits longer with the next.
 */
export async function coordinatorMain(options: CoordinatorMainOptions): Promise<ExitCode> {
  const isPod = options.standby && options.leaseUrl !== undefined;
  let exitCode: ExitCode;
  do exitCode = await standAndLead(options);
  while (exitCode === exitCodes.superseded && isPod && !options.stop.aborted);
  return exitCode;
}

/** Until the run's end, or until we have to step down. */
async function standAndLead(options: CoordinatorMainOptions): Promise<ExitCode> {
  const { metrics: listen, run, tlsFolder } = options;
  const onNotice = (text: string): void => options.onLine({ kind: 'notice', text });
  const guard = tlsFolder === undefined ? undefined : openGuard(tlsFolder, run, onNotice);
  const metrics = await openMetrics({
    ...{ listen, run, onNotice, certificates: guard?.certificates },
    onRefused: writeRefusals(writeSparingly(options.log.warn)),
  });
  try {
    return await holdAndServe(options, { metrics, guard });
  } finally {
    await metrics.close();
    guard?.certificates.close();
  }
}

interface OpenParts {
  readonly metrics: CoordinatorMetrics;
  readonly guard: SessionGuard | undefined;
}

async function holdAndServe(options: CoordinatorMainOptions, open: OpenParts): Promise<ExitCode> {
  const held = await openLease(options);
  const { lease, board } = held;
  try {
    await lease?.acquire(options.stop);
  } catch (error) {
    // Nobody was led yet: where a lease says who is next, the run goes on.
    if (options.stop.aborted)
      return board === undefined ? exitCodes.interrupted : exitCodes.drained;
    throw error;
  }
  let isFinished = false;
  try {
    isFinished = lease?.saysFinished === true && (await reportFinished(options));
    if (isFinished) return exitCodes.ok;
    const exitCode = await serve(options, { ...held, ...open });
    isFinished = exitCode === exitCodes.ok;
    return exitCode;
  } finally {
    await lease?.release(isFinished);
  }
}

interface HeldParts extends HeldLease, OpenParts {}

/** The address is bound first: a run must not be there that nobody can lead. */
async function serve(options: CoordinatorMainOptions, held: HeldParts): Promise<ExitCode> {
  let lost: string | undefined;
  held.lease?.onLost((reason) => (lost = reason));
  let requests: OperatorRequests | undefined;
  const { guard } = held;
  const services = operatorService(() => requests, guard?.run, options.log);
  const sessions = await createSessions(options.listen, services, options.log, guard);
  const store = openStore(options.runUrl, options.storeOptions);
  try {
    const plan = await openRun(runRequest(options, store));
    if (lost !== undefined) {
      // A term taken now would put down whoever holds the lease.
      options.onLine({
        kind: 'superseded',
        reason: `the lease of the run is lost: ${String(lost)}`,
      });
      return exitCodes.superseded;
    }
    const leader: CoordinatorIdentity = {
      ...{ address: reachable(sessions.address), pid: process.pid, host: hostname() },
      startedAt: new Date().toISOString(),
    };
    const term = await claimTerm(store, leader);
    const lease = held.board && { lease_transitions: held.board.transitions };
    options.onLine({ kind: 'listening', address: sessions.address, term, ...lease });
    const onLeading = (given: OperatorRequests): void => void (requests = given);
    return await leadRun(options, { ...held, sessions, plan, term, leader, onLeading });
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

interface LeadingParts extends HeldParts {
  readonly sessions: Sessions;
  readonly plan: RunPlan;
  readonly term: number;
  readonly leader: CoordinatorIdentity;
  readonly onLeading: (requests: OperatorRequests) => void;
}

async function leadRun(options: CoordinatorMainOptions, parts: LeadingParts): Promise<ExitCode> {
  const { lease, board, sessions, plan, term, guard } = parts;
  const [{ record }, { run, runUrl, stop, log }] = [plan, options];
  // The result is the last line, after what is left to say about the bus.
  let result: ReportLine | undefined;
  let phase = '';
  const quiet = createQuietWatch(processClock.nowMs);
  const onLine = (line: ReportLine): void => {
    if (line.kind === 'finished' || line.kind === 'stopped' || line.kind === 'failed')
      result = line;
    else if (line.kind === 'step') phase = String(line['phase']);
    if (line.kind !== 'activity') quiet.heard(line.kind === 'step');
    if (line !== result) options.onLine(line);
  };
  let onNotice = (text: string): void => onLine({ kind: 'notice', text });
  const say = (text: string): void => onNotice(text);
  const stores = createRunningStores(options.storeOptions, say, log);
  const store = openStore(runUrl, stores.options);
  const places = { stores, store, say };
  const { events, history, recent, closeEvents } = openEvents(options, parts, places);
  const config = configOf(options, plan, term, sha256Of(canonicalJson(record)));
  const reporter = createReporter({
    ...{ run, url: runUrl, term, spec: record.spec, until: config.until, events },
    ...{ startStep: plan.startStep, startSha256: plan.savedSha256, now: Date.now, onLine },
    ...{ trainSamples: plan.trainSamples, testSamples: plan.testSamples },
    leaseTransitions: board?.transitions,
  });
  let onOver: (ending: Ending) => void = () => undefined;
  const over = new Promise<Ending>((resolve) => (onOver = resolve));
  onNotice = reporter.notice;
  reporter.started();
  plan.notices.forEach(say);
  const checkpoints = openCheckpoints(store, record, { ...reporter, log });
  const leading = lead({
    ...{ clock: processClock, config, savedStep: plan.savedStep, runUrl, sessions, reporter },
    // The record's text is the same from every coordinator of this dataset's place.
    record: canonicalJson(plan.workersRecord),
    checkpoints,
    newestTerm: (done) => void newestTermNumber(store).then(done, () => done(0)),
    holdTerm: (done) => void holdOwnTerm(store, parts, say).then(done),
    onOver,
  });
  const { dispatch } = leading;
  const requests = answerOperator({ ...options, guard }, leading, reporter, processClock, recent);
  sessions.open(leading.soon, requests.traces.onAnswer);
  parts.onLeading(requests);
  const forgetQuiet = processClock.every(quietMs, () => {
    const line = quiet.look(requests.status());
    if (line !== undefined) onLine(line);
  });
  lease?.onLost((reason) => dispatch({ kind: 'leaseLost', reason }));
  const facts = () => {
    const address = reachable(sessions.address);
    return { address, phase, result, transitions: board?.transitions ?? 0 };
  };
  if (board !== undefined) serveLease(board, requests, facts, dispatch, say);
  // Where another coordinator takes over, SIGTERM ends this one and not the run.
  const forgetStop = whenAborted(stop, (reason) => {
    log.info('stop asked', { reason });
    dispatch({ kind: board && reason === 'SIGTERM' ? 'leaveAsked' : 'stopAsked', reason });
  });
  const forgetMemory = await openMemoryWatch(options, dispatch, say);
  const { exitCode } = await over;
  for (const end of [leading.close, forgetQuiet, forgetStop, forgetMemory]) end();
  await sessions.close(leaveMs);
  await closeEvents();
  await checkpoints.settled();
  if (hasEndedWell(result)) await leaveReport(store, history, onLine);
  await store.close();
  stores.close();
  if (result !== undefined) options.onLine(result);
  return exitCode;
}

/** In a cluster, where workers are pods. */
async function openMemoryWatch(
  { standby, leaseUrl }: CoordinatorMainOptions,
  dispatch: (event: CoordinatorEvent) => void,
  onNotice: (text: string) => void,
): Promise<() => void> {
  if (!standby || leaseUrl === undefined) return () => undefined;
  const { watchMemory } = await import('./memory-watch.js');
  return watchMemory({ leaseUrl, dispatch, onNotice });
}

/** It has finished, or was stopped: its folder has all that a report says. */
function hasEndedWell(result: ReportLine | undefined): boolean {
  return result?.kind === 'finished' || result?.kind === 'stopped';
}

/** Who has our term, if another one; a store that is away says nothing. */
async function holdOwnTerm(
  store: ObjectStore,
  { term, leader }: Pick<LeadingParts, 'term' | 'leader'>,
  onNotice: (text: string) => void,
): Promise<string | undefined> {
  try {
    const holding = await holdTerm(store, term, leader);
    if (holding.kind === 'restored')
      onNotice(`the file of term ${term} in the run's coordinators/ was deleted; written again`);
    return holding.kind === 'taken' ? holding.holder : undefined;
  } catch {
    return undefined;
  }
}

/** Calls `listener` when asked to stop, also if that was before; gives a function to end it. */
function whenAborted(stop: AbortSignal, listener: (reason: string) => void): () => void {
  const onAbort = (): void => listener(String(stop.reason));
  stop.addEventListener('abort', onAbort);
  if (stop.aborted) onAbort();
  return () => stop.removeEventListener('abort', onAbort);
}

function configOf(
  options: CoordinatorMainOptions,
  { record, savedFingerprint, savedBest }: RunPlan,
  term: number,
  recordSha256: string,
): CoordinatorConfig {
  const last = lastStep(record.spec);
  const { checkpoint, evaluation } = record.spec;
  return {
    ...{ term, run: record.run, recordSha256 },
    worldSize: options.worldSize,
    microShards: record.spec.batch.microShards,
    allowsMixed: record.spec.engine.mixed,
    savedFingerprint,
    best: checkpoint.best && {
      ...{ metric: checkpoint.best, everySteps: evaluation.everySteps, known: savedBest },
    },
    until: options.stopAfter ?? last,
    lastStep: last,
    timing: { ...defaultTiming, joinTimeoutMs: options.joinTimeoutMs },
  };
}
