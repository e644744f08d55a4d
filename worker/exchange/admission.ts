// Whether a stream that a peer has opened belongs to our world: a pure decision over its Hello.

import { chunkFloats } from '../../shared/plan/reduction.js';
import type { Rank } from '../../shared/words.js';
import type { ExchangeWorld } from './exchange.js';
import type { Hello } from './wire.js';

export type Admission =
  | { readonly kind: 'accept'; readonly rank: Rank }
  /** The peer has heard of its world before us: wait until we join it. */
  | { readonly kind: 'hold' }
  | { readonly kind: 'refuse'; readonly reason: string };

/** Decides on a Hello; `ours` is the world joined last, if any. */
export function admit(hello: Hello, ours: ExchangeWorld | undefined): Admission {
  const generation = ours?.world.generation;
  if (ours === undefined || generation === undefined || hello.generation > generation) {
    return { kind: 'hold' };
  }
  if (hello.generation < generation) {
    const reason = `generation ${hello.generation} is over; this worker is in ${generation}`;
    return { kind: 'refuse', reason };
  }
  const expected = helloBetween(ours, hello.fromRank, ours.rank);
  if (expected === undefined || hello.fromRank === ours.rank) {
    return { kind: 'refuse', reason: `rank ${hello.fromRank} is no peer in this world` };
  }
  for (const key of Object.keys(expected) as (keyof Hello)[]) {
    if (hello[key] === expected[key]) continue;
    const reason = `${key} is ${JSON.stringify(hello[key])}, not ${JSON.stringify(expected[key])}`;
    return { kind: 'refuse', reason: reason.slice(0, 200) };
  }
  return { kind: 'accept', rank: hello.fromRank };
}

/** The Hello that rank `from` should send to rank `to`; undefined for ranks not in the world. */
export function helloBetween(ours: ExchangeWorld, from: Rank, to: Rank): Hello | undefined {
  const asker = ours.world.members[from];
  const asked = ours.world.members[to];
  if (asker === undefined || asked === undefined) return undefined;
  return {
    generation: ours.world.generation,
    fromRank: from,
    fromWorker: asker.worker,
    fromIncarnation: asker.incarnation,
    toWorker: asked.worker,
    worldSize: ours.world.members.length,
    microShards: ours.microShards,
    chunkFloats,
  };
}
