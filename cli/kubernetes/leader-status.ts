// What the leader of a run writes on the run's Lease every few seconds: the command line reads it
// with the right to read leases alone. Another version of Lockstep may have written something else.

import type { V1Lease } from '@kubernetes/client-node';
import { z } from 'zod';
import { leaseAnnotations } from '../../shared/kubernetes/lease-place.js';

const count = z.number().catch(0);
const word = z.string().catch('');

const leaderStatusSchema = z.object({
  run: word,
  url: word,
  term: count,
  address: word,
  stage: word,
  reason: word,
  step: count,
  until: count,
  lastStep: count,
  checkpoint: count,
  phase: word,
  imagesPerSecond: count,
  etaSeconds: count,
  target: count,
  world: count,
  workers: z
    .array(
      z.object({
        id: word,
        rank: z.number().nullable().catch(null),
        state: word,
        step: count,
        host: word,
      }),
    )
    .catch([]),
  moreWorkers: count,
  /** Of a run that has ended. */
  result: z
    .object({ kind: word, step: count, sha256: word, reason: word, exitCode: count })
    .optional()
    .catch(undefined),
});

export type LeaderStatus = z.infer<typeof leaderStatusSchema>;

/** Longest annotation that is looked at; Kubernetes allows 256 KiB for all together. */
const longest = 256 * 1024;

/** The leader's status; undefined where none has been written, or it can't be read. */
export function leaderStatus(lease: V1Lease | undefined): LeaderStatus | undefined {
  const text = lease?.metadata?.annotations?.[leaseAnnotations.status];
  if (text === undefined || text.length > longest) return undefined;
  try {
    return leaderStatusSchema.parse(JSON.parse(text));
  } catch {
    return undefined;
  }
}

/** How many workers the operator wants; undefined where it is not written. */
export function wantedWorkers(lease: V1Lease | undefined): number | undefined {
  const text = lease?.metadata?.annotations?.[leaseAnnotations.workers];
  return text !== undefined && /^\d{1,6}$/.test(text) ? Number(text) : undefined;
}
