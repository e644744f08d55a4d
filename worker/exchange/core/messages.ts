// What peers say to each other: the hello that opens a stream and whether its world is ours,
// requests for chunks, and the headers of the frames that answer them.

import {
  chunkBytes,
  type ExchangePrecision,
  type StepShape,
} from '../../../shared/plan/step-vector.js';
import type { Generation, Leaf, Rank, Step, World } from '../../../shared/words.js';

/** A worker's place in a world; M micro-shards are the leaves of the reduction tree. */
export interface WorldPlace {
  readonly world: World;
  readonly rank: Rank;
  readonly microShards: number;
  /** What gradients are summed and sent in. */
  readonly precision: ExchangePrecision;
  /** Of the chunks of a step, every one whose number is `lane` modulo `lanes` passes here. */
  readonly lane: number;
  readonly lanes: number;
}

/** The first request of a stream: the asker, the asked, and their world. */
export interface ExchangeHello {
  readonly generation: Generation;
  readonly fromRank: Rank;
  readonly fromWorker: string;
  readonly fromIncarnation: number;
  readonly toWorker: string;
  readonly worldSize: number;
  readonly microShards: number;
  readonly chunkBytes: number;
  readonly precision: ExchangePrecision;
  readonly lane: number;
  readonly lanes: number;
}

/** What a peer sends on a stream that it has opened, or why its bytes are no request. */
export type ExchangeRequest =
  | { readonly kind: 'hello'; readonly hello: ExchangeHello }
  | { readonly kind: 'pull'; readonly pull: Pull }
  | { readonly kind: 'refused'; readonly reason: string };

/**
 * Sums for the chunks the asker owns, reduced chunks that the asked one owns, or the factors of
 * leaves that the asked one computes.
 */
export type PullPhase = 'reduce' | 'gather' | 'leaf';

/** A request for the chunks [firstChunk, endChunk) of one step and phase. */
export interface Pull {
  readonly generation: Generation;
  readonly step: Step;
  readonly phase: PullPhase;
  readonly firstChunk: number;
  readonly endChunk: number;
  /** What the step exchanges; equal on all ranks. */
  readonly shape: StepShape;
}

/** Frames of a phase carry values; `welcome` accepts a hello, `alive` is a sign of life. */
export type FrameKind = PullPhase | 'welcome' | 'alive';

/** What a header says. For the meaning of each field see exchange.proto. */
export interface FrameHeader {
  readonly kind: FrameKind;
  readonly generation: Generation;
  readonly step: Step;
  readonly chunk: number;
  readonly start: Leaf;
  readonly end: Leaf;
  /** Length of the values that follow. */
  readonly bytes: number;
}

export type Admission =
  | { readonly kind: 'accept'; readonly rank: Rank }
  /** The peer has heard of its world before us: wait until we join it. */
  | { readonly kind: 'hold' }
  | { readonly kind: 'refuse'; readonly reason: string };

/** Decides on a hello; `ours` is the world joined last, if any. */
export function admitPeer(hello: ExchangeHello, ours: WorldPlace | undefined): Admission {
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
  for (const key of Object.keys(expected) as (keyof ExchangeHello)[]) {
    if (hello[key] === expected[key]) continue;
    const reason = `${key} is ${JSON.stringify(hello[key])}, not ${JSON.stringify(expected[key])}`;
    return { kind: 'refuse', reason: reason.slice(0, 200) };
  }
  return { kind: 'accept', rank: hello.fromRank };
}

/** The hello that rank `from` should send to rank `to`; undefined for ranks not in the world. */
export function helloBetween(ours: WorldPlace, from: Rank, to: Rank): ExchangeHello | undefined {
  const asker = ours.world.members[from];
  const asked = ours.world.members[to];
  if (asker === undefined || asked === undefined) return undefined;
  const { world, microShards, precision, lane, lanes } = ours;
  return {
    generation: world.generation,
    fromRank: from,
    fromWorker: asker.worker,
    fromIncarnation: asker.incarnation,
    toWorker: asked.worker,
    worldSize: world.members.length,
    ...{ microShards, chunkBytes, precision, lane, lanes },
  };
}
