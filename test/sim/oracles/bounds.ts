// Nothing grows without a limit: what workers and coordinators keep, hold and send.

import { Violation, type Oracle } from '../facts.js';
import type { RunShape } from '../training-state.js';

const name = 'bounds';

/** The limits, for clusters of at most ten workers. */
export const bounds = {
  pendingCheckpoints: 8,
  comparedDigests: 16,
  knownWorkers: 40,
  cutLinks: 45,
  heldStreams: 64,
  streams: 1_200,
  /** Messages of the coordinator in one session and second. */
  ordersPerSecond: 40,
  /** Messages of a worker in a second, reports that it tells again included. */
  toldPerSecond: 800,
} as const;

export function createBoundsOracle({ lastStep }: RunShape): Oracle {
  let second = 0;
  const sent = new Map<string, number>();
  const limit = (what: string, count: number, most: number): void => {
    if (count > most) throw new Violation(name, `${count} ${what}, at most ${most}`);
  };
  return {
    name,
    observe(fact, nowMs) {
      if (fact.kind === 'sent') {
        if (Math.floor(nowMs / 1000) !== second) sent.clear();
        second = Math.floor(nowMs / 1000);
        const key = `${fact.from} ${fact.session}`;
        const count = (sent.get(key) ?? 0) + 1;
        sent.set(key, count);
        const most = fact.session > 0 ? bounds.ordersPerSecond : bounds.toldPerSecond;
        limit(`messages of ${key} in a second`, count, most);
      } else if (fact.kind === 'sizes') {
        for (const { who, state } of fact.workers) {
          // One for each step, and for each checkpoint its four parts and its description.
          limit(`reports of ${who.worker}`, state.reports.length, 6 * lastStep);
          limit(`suspicions of ${who.worker}`, state.suspicions.size, state.world.members.length);
        }
        for (const state of fact.coordinators) {
          limit('pending checkpoints', state.pending.size, bounds.pendingCheckpoints);
          limit('compared digests', state.digests.size, bounds.comparedDigests);
          limit('known workers', state.workers.size, bounds.knownWorkers);
          limit('cut links', state.cutLinks.size, bounds.cutLinks);
        }
        for (const held of fact.held) limit('held streams', held, bounds.heldStreams);
        limit('streams', fact.streams, bounds.streams);
      }
    },
  };
}
