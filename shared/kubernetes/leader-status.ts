// What a leader shows of its run on the run's Lease, for those who may read nothing but leases.
// Written every few seconds, so it stays small; another version of Lockstep may have written
// something else, so whatever is missing reads as nothing.

import { z } from 'zod';
import type { RunStatus } from '../control/admin.js';
import { leaseAnnotations } from './lease-place.js';
import { parseJson } from '../bounded-json.js';

const count = z.number().catch(0);
const word = z.string().catch('');
const rank = z.number().nullable().catch(null);

const resultSchema = z.object({
  ...{ kind: word, step: count, sha256: word, reason: word, exitCode: count },
});

const leaderStatusSchema = z.object({
  ...{ run: word, url: word, term: count, transitions: count },
  /** "host:port" of the leader. */
  address: word,
  ...{ stage: word, reason: word, step: count, until: count, lastStep: count, checkpoint: count },
  /** Name of the spec's phase of the newest step; empty before the first. */
  phase: word,
  ...{ imagesPerSecond: count, etaSeconds: count, target: count },
  /** Workers of the world. */
  world: count,
  /** A worker outside of the world has the rank null. */
  workers: z.array(z.object({ id: word, rank, state: word, step: count, host: word })).catch([]),
  /** Workers that are not listed. */
  moreWorkers: count,
  /** Of a run that has ended. */
  result: resultSchema.optional().catch(undefined),
});

export type LeaderStatus = z.infer<typeof leaderStatusSchema>;

/** Workers that are listed; the others are counted. */
const mostWorkers = 64;

/** Longest text: names of workers, reasons. */
const longestText = 200;

/** Longest annotation that is looked at; Kubernetes allows 256 KiB for all together. */
const longestAnnotation = 256 * 1024;

/** What the status of the run does not say. */
export interface LeaderFacts {
  /** "host:port" of the leader. */
  readonly address: string;
  /** How often the lease has changed hands. */
  readonly transitions: number;
  readonly phase: string;
  /** The last line of a run that has ended. */
  readonly result: Readonly<Record<string, unknown>> | undefined;
}

/** What the leader writes, as JSON, in `leaseAnnotations.status`. */
export function leaderStatusOf(status: RunStatus, facts: LeaderFacts): object {
  const { workers } = status;
  const { result } = facts;
  const shown = {
    ...{ run: status.run, url: status.url, term: status.term, transitions: facts.transitions },
    ...{ address: facts.address, stage: status.stage, reason: short(status.reason) },
    ...{ step: status.step, until: status.until, lastStep: status.lastStep },
    ...{ checkpoint: status.checkpoint, phase: facts.phase },
    ...{ imagesPerSecond: status.imagesPerS, etaSeconds: status.etaS },
    ...{ target: status.target, world: workers.filter(({ rank }) => rank >= 0).length },
    workers: workers.slice(0, mostWorkers).map(({ worker, rank, stage, step, host }) => {
      return { id: short(worker), rank: rank < 0 ? null : rank, state: stage, step, host };
    }),
    ...(workers.length > mostWorkers ? { moreWorkers: workers.length - mostWorkers } : {}),
    ...(result === undefined ? {} : { result: resultOf(result) }),
  } satisfies Partial<LeaderStatus>;
  return shown;
}

function resultOf({ reason, exit_code: exitCode, ...line }: Readonly<Record<string, unknown>>) {
  return resultSchema.parse({ ...line, reason: short(String(reason)), exitCode });
}

function short(text: string): string {
  return text.length > longestText ? `${text.slice(0, longestText - 1)}…` : text;
}

/** Annotations of a Lease object, if there is one. */
export type LeaseAnnotations = Readonly<Record<string, string>> | undefined;

/** The leader's status; undefined where none has been written, or it can't be read. */
export function readLeaderStatus(annotations: LeaseAnnotations): LeaderStatus | undefined {
  const text = annotations?.[leaseAnnotations.status];
  if (text === undefined || text.length > longestAnnotation) return undefined;
  try {
    return leaderStatusSchema.parse(parseJson(text));
  } catch {
    return undefined;
  }
}

/** How many workers the operator wants; undefined where no number is written. */
export function readWantedWorkers(annotations: LeaseAnnotations): number | undefined {
  const text = annotations?.[leaseAnnotations.workers];
  return text !== undefined && /^\d{1,6}$/.test(text) ? Number(text) : undefined;
}
