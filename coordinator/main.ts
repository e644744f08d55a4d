// Builds a coordinator out of its parts and runs it.

import { lastStep, type RunSpec } from '../shared/spec/schema.js';
import { createNatsBus } from '../shared/events/nats-bus.js';
import { createSilentBus } from '../shared/events/silent-bus.js';
import { openStore, type StoreOptions } from '../shared/store/open-store.js';
import type { ExitCode } from '../shared/exit-codes.js';
import { heartbeatMs, runCoordinator } from './coordinator.js';
import { createReporter, type ReportLine } from './edge/reporter.js';
import { planRun } from './edge/run-plan.js';

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
  readonly storeOptions: StoreOptions;
  readonly joinTimeoutMs: number;
  readonly stop: AbortSignal;
  readonly onLine: (line: ReportLine) => void;
}

/** Runs a coordinator to its run's end; the last line told is the result. */
export async function coordinatorMain(options: CoordinatorMainOptions): Promise<ExitCode> {
  const { runUrl, run } = options;
  // The result is the last line, after what is left to say about the bus.
  let result: ReportLine | undefined;
  const onLine = (line: ReportLine): void => {
    if (line.kind === 'finished' || line.kind === 'stopped' || line.kind === 'failed')
      result = line;
    else options.onLine(line);
  };
  const store = openStore(runUrl, options.storeOptions);
  const onNotice = (text: string): void => onLine({ kind: 'notice', text });
  const plan = await planRun({
    run,
    store,
    storeOptions: options.storeOptions,
    spec: options.spec,
    worldSize: options.worldSize,
    until: options.stopAfter,
    nowMs: Date.now(),
  });
  const { spec } = plan.record;
  const until = options.stopAfter ?? lastStep(spec);
  const bus =
    options.natsUrl === undefined
      ? createSilentBus(onNotice)
      : createNatsBus({ url: options.natsUrl, run, onNotice });
  const reporter = createReporter({
    run,
    url: runUrl,
    spec,
    startStep: plan.startStep,
    until,
    startSha256: plan.savedSha256,
    store,
    bus,
    now: Date.now,
    onLine,
  });
  const code = await runCoordinator({
    listen: options.listen,
    runUrl,
    plan,
    config: {
      worldSize: options.worldSize,
      startStep: plan.startStep,
      until,
      lastStep: lastStep(spec),
      heartbeatTimeoutMs: 10 * heartbeatMs,
      joinTimeoutMs: options.joinTimeoutMs,
      salvageTimeoutMs: 60_000,
    },
    store,
    reporter,
    onListening: (address) => onLine({ kind: 'listening', address }),
    stop: options.stop,
  });
  const left = await bus.flush(flushMs);
  if (left > 0) onNotice(`${left} events could not be published`);
  await bus.close();
  await store.close();
  if (result !== undefined) options.onLine(result);
  return code;
}
