// What a leader shows of its run on the run's lease: less than `lockstep status` knows, and never
// much, since it is written every few seconds.

import type { RunStatus } from '../../shared/control/admin.js';
import type { ReportLine } from './reporter.js';

/** Workers that are listed; of those that come after them only the number is told. */
const mostWorkers = 64;

/** Longest text: names of workers, reasons. */
const longestText = 200;

/** What the status of the run does not say. */
export interface LeaseFacts {
  /** "host:port" of the leader. */
  readonly address: string;
  /** How often the lease has changed hands. */
  readonly transitions: number;
  /** Name of the spec's phase of the newest step; empty before the first. */
  readonly phase: string;
  /** The last line of a run that has ended. */
  readonly result: ReportLine | undefined;
}

/** The JSON of the annotation; a worker outside of the world has the rank null. */
export function leaseStatus(status: RunStatus, facts: LeaseFacts): object {
  const { workers } = status;
  const { result } = facts;
  return {
    ...{ run: status.run, url: status.url, term: status.term, transitions: facts.transitions },
    ...{ address: facts.address, stage: status.stage, reason: clip(status.reason) },
    ...{ step: status.step, until: status.until, lastStep: status.lastStep },
    ...{ checkpoint: status.checkpoint, phase: facts.phase },
    ...{ imagesPerSecond: status.imagesPerS, etaSeconds: status.etaS },
    ...{ target: status.target, world: workers.filter(({ rank }) => rank >= 0).length },
    workers: workers.slice(0, mostWorkers).map(({ worker, rank, stage, step, host }) => {
      return { id: clip(worker), rank: rank < 0 ? null : rank, state: stage, step, host };
    }),
    ...(workers.length > mostWorkers ? { moreWorkers: workers.length - mostWorkers } : {}),
    ...(result === undefined ? {} : { result: resultOf(result) }),
  };
}

function resultOf(line: ReportLine): object {
  const { kind, step, sha256, reason, exit_code: exitCode } = line;
  return { kind, step, sha256, reason: clip(String(reason)), exitCode };
}

function clip(text: string): string {
  return text.length > longestText ? `${text.slice(0, longestText - 1)}…` : text;
}
