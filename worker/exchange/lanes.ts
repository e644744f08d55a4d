// The lanes of a worker's exchange: one exchange each, on threads, ports and connections of their
// own, over every k-th chunk of the same vectors. To the worker they are one exchange: a step is
// there when it is there on all of them, and a peer that is lost on one of them is lost.

import type { Clock } from '../../shared/clock.js';
import type { StepShape } from '../../shared/plan/step-vector.js';
import type { Generation, Leaf, Member, Rank, Step } from '../../shared/words.js';
import type { LinkRate } from './core/liveness.js';
import type {
  ExchangeCost,
  ExchangeEvents,
  ExchangeWorld,
  PeerLost,
  WorkerExchange,
} from './exchange.js';

/** The exchange of one lane, which may be in no world while others are in one. */
export interface Lane extends WorkerExchange {
  /** Leaves the world, if there is one. Once left it writes nothing to the vectors any more. */
  leave(onLeft: () => void): void;
}

/** Opens one lane. Nothing is reported before it returns. */
export type OpenLane = (events: ExchangeEvents) => Lane;

/** What is known of the world that was joined last. */
interface LanedWorld {
  readonly generation: Generation;
  /** Lanes in use: what the member with the fewest has. The others are in no world. */
  readonly lanes: readonly Lane[];
  /** Of all lanes those in this world, and those that have left the one before for none. */
  ready: number;
  /** Lanes on which the factors of the present step are all here. */
  gathered: number;
  /** What the present step took, by lane; for those on which it is over. */
  readonly costs: Map<number, ExchangeCost>;
  readonly lost: Set<Rank>;
  /** Losses on lanes that are done with the step, until all are: they may not be missed. */
  readonly unreported: PeerLost[];
}

/** Creates the exchange of some lanes, at least one. `clock` has to be that of the lanes. */
export function joinLanes(
  openLanes: readonly OpenLane[],
  events: ExchangeEvents,
  clock: Pick<Clock, 'soon'>,
): WorkerExchange {
  let world: LanedWorld | undefined;

  const report = (lost: PeerLost): void => {
    if (world?.generation !== lost.generation || world.lost.has(lost.rank)) return;
    world.lost.add(lost.rank);
    events.onPeerLost(lost);
  };
  // The vectors of a world may lie where those of the world before did: a lane that is still there
  // would write into them.
  const onReady = (generation: Generation): void => {
    if (world?.generation !== generation) return;
    world.ready += 1;
    if (world.ready === lanes.length) events.onJoined(generation);
  };
  const eventsOf = (lane: number): ExchangeEvents => ({
    onJoined: onReady,
    onGathered: (generation, step) => {
      if (world?.generation !== generation) return;
      world.gathered += 1;
      if (world.gathered === world.lanes.length) events.onGathered(generation, step);
    },
    onReduced: (generation, step, cost) => {
      if (world?.generation !== generation) return;
      const { lanes, costs, unreported } = world;
      costs.set(lane, cost);
      if (costs.size < lanes.length) return;
      const whole = costOf([...costs.values()]);
      costs.clear();
      const held = unreported.splice(0);
      events.onReduced(generation, step, whole);
      // After the caller has seen its step done: the last step needs no peers any more.
      if (held.length > 0) clock.soon(() => held.forEach(report));
    },
    onPeerLost: (lost) => {
      if (world?.generation !== lost.generation) return;
      if (world.costs.has(lane)) world.unreported.push(lost);
      else report(lost);
    },
  });
  const lanes = openLanes.map((open, lane) => open(eventsOf(lane)));

  return {
    join: (joined) => {
      const { generation, members } = joined.world;
      const count = Math.min(lanes.length, commonLanes(members));
      world = worldOn(lanes.slice(0, count), generation);
      for (const unused of lanes.slice(count)) unused.leave(() => onReady(generation));
      world.lanes.forEach((one, lane) => one.join(worldOfLane(joined, lane, count)));
    },
    begin: (step: Step, shape: StepShape) => {
      if (world !== undefined) world.gathered = 0;
      world?.costs.clear();
      for (const lane of world?.lanes ?? lanes) lane.begin(step, shape);
    },
    contribute: (step: Step, index: number) => {
      for (const lane of world?.lanes ?? lanes) lane.contribute(step, index);
    },
    publish: (step: Step, leaf: Leaf) => {
      for (const lane of world?.lanes ?? lanes) lane.publish(step, leaf);
    },
    mute: (worker, ms) => {
      for (const lane of lanes) lane.mute(worker, ms);
    },
    close: (onClosed) => closeAll(lanes, onClosed),
  };
}

function worldOn(lanes: readonly Lane[], generation: Generation): LanedWorld {
  const nothing = { ready: 0, gathered: 0, costs: new Map(), lost: new Set<Rank>() };
  return { generation, lanes, ...nothing, unreported: [] };
}

function closeAll(lanes: readonly WorkerExchange[], onClosed: () => void): void {
  let open = lanes.length;
  for (const lane of lanes)
    lane.close(() => {
      open -= 1;
      if (open === 0) onClosed();
    });
}

/** As many lanes as all members have. */
function commonLanes(members: readonly Member[]): number {
  return 1 + Math.min(...members.map(({ lanes = [] }) => lanes.length));
}

/** The world as a lane sees it: the members are reached at their addresses of this lane. */
function worldOfLane(joined: ExchangeWorld, lane: number, lanes: number): ExchangeWorld {
  const { generation, members } = joined.world;
  const reached = members.map((member) => {
    return lane === 0 ? member : { ...member, address: member.lanes![lane - 1] };
  });
  return { ...joined, world: { generation, members: reached }, lane, lanes };
}

/** Bytes in all, and the longest wait: lanes wait side by side. */
function costOf(costs: readonly ExchangeCost[]): ExchangeCost {
  const [longest] = [...costs].sort((a, b) => b.waitedMs - a.waitedMs);
  const sum = (bytes: (cost: ExchangeCost) => number): number =>
    costs.reduce((total, cost) => total + bytes(cost), 0);
  return {
    ...{ waitedFor: longest.waitedFor, waitedMs: longest.waitedMs },
    sentBytes: sum(({ sentBytes }) => sentBytes),
    receivedBytes: sum(({ receivedBytes }) => receivedBytes),
    link: linkOf(costs.flatMap(({ link }) => link ?? [])),
  };
}

/** The link that took longest, with what its lanes brought together. */
function linkOf(rates: readonly LinkRate[]): LinkRate | undefined {
  const links = new Map<Rank, LinkRate>();
  for (const { rank, bytes, ms } of rates) {
    const before = links.get(rank) ?? { bytes: 0, ms: 0 };
    links.set(rank, { rank, bytes: before.bytes + bytes, ms: Math.max(before.ms, ms) });
  }
  return [...links.values()].sort((a, b) => b.ms - a.ms || a.rank - b.rank).at(0);
}
