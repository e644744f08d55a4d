// A worker's exchange: an all-reduce over the canonical tree by pulls from peers. It admits or
// refuses the peers that knock and keeps at most one world at a time. Its host gives it a clock,
// streams, and what adds up values: gRPC and shared memory in a worker (grpc.ts), or a simulation.

import type { Clock } from '../../shared/clock.js';
import type { StepShape } from '../../shared/plan/step-vector.js';
import type { Generation, Leaf, Member, Rank, Step } from '../../shared/words.js';
import type { LinkRate, Waited } from './core/liveness.js';
import {
  admitPeer,
  type ExchangeHello,
  type FrameHeader,
  type Pull,
  type WorldPlace,
} from './core/messages.js';
import type { FoldPlan, VectorLengths } from './core/world.js';
import type { ExchangeLimits } from './limits.js';
import type { Place, SharedMemory } from './memory.js';
import type { PeerChannel } from './pull-link.js';
import { ServedStream, type IncomingCall, type RefusalCode } from './served-stream.js';
import { WorldSession } from './session.js';
import type { ChunkValues, ValueEffect } from './values.js';

/** A world to join. What its vectors hold is laid out by `placesOf` a step's shape. */
export interface ExchangeWorld extends WorldPlace, VectorLengths {
  /** Where the vectors lie, which the compute thread sees too. */
  readonly memory: SharedMemory;
  /**
   * One vector for each of this rank's `subtreesInside` its share, in that order: the sums over
   * the leaves of the subtree. Filled by the compute thread, vector by vector: `contribute`.
   */
  readonly contributions: readonly Place[];
  /**
   * Two vectors: what comes of step s (the tree's sum divided by M, and the factors of all leaves)
   * is written into `results[s % 2]`, where peers may still pull it from while step s + 1 is under
   * way. The compute thread writes the factors of its own leaves there: `publish`.
   */
  readonly results: readonly [Place, Place];
}

/** A peer that can't be reached any more in the world of `generation`. */
export interface PeerLost {
  readonly generation: Generation;
  readonly rank: Rank;
  readonly worker: string;
  readonly reason: string;
}

/** What a step's exchange took: time for a peer, and bytes of values since the step before. */
export interface ExchangeCost extends Waited {
  readonly sentBytes: number;
  readonly receivedBytes: number;
  /** The link that brought its bytes for longest, if any took ticks. */
  readonly link: LinkRate | undefined;
}

/** What an exchange reports; nothing more of a world that was left for another. */
export interface ExchangeEvents {
  /** All peers of the world are reached. */
  onJoined(generation: Generation): void;
  /**
   * `results[step % 2]` holds the factors of all leaves; comes before `onReduced`, and not at all
   * in a step that has none.
   */
  onGathered(generation: Generation, step: Step): void;
  /**
   * `results[step % 2]` holds everything; from now on the contributions may be overwritten. Not
   * called for a step that needs a peer that is lost.
   */
  onReduced(generation: Generation, step: Step, cost: ExchangeCost): void;
  /**
   * At most once for each peer of a world, at once, in a step or between two, and also when it
   * left in order: after the last step that is no loss, nor when it has moved on to the next
   * world. A loss that the step under way can do without is reported when that step is over.
   */
  onPeerLost(lost: PeerLost): void;
}

/** Hears what passes in a step, for a trace. Functions that it gives are called at the end. */
export interface ExchangeSpans {
  asked(to: Rank, pull: Pull): void;
  received(from: Rank, header: FrameHeader): () => void;
  worked(effect: ValueEffect): () => void;
  sending(to: Rank, header: FrameHeader): () => void;
  /** Frames asked of these have not come. */
  waiting(ranks: readonly Rank[]): void;
  /** The step is reduced; what follows are frames that peers still take. */
  over(): void;
}

/** What hears of a step that begins; undefined, nearly always: nobody does. */
export type ExchangeRecorder = (place: WorldPlace, step: Step) => ExchangeSpans | undefined;

/** An exchange as its worker uses it. */
export interface WorkerExchange {
  /** Connects to the peers of a world. Leaves any earlier world at once. */
  join(world: ExchangeWorld): void;
  /**
   * Begins a step, of whose vector nothing of ours is there yet: peers may ask for it, and are
   * asked. Its shape is equal on all ranks. Within a world steps follow each other by one; the
   * first may be any.
   */
  begin(step: Step, shape: StepShape): void;
  /** Contribution `index` to the step is complete. */
  contribute(step: Step, index: number): void;
  /** The factors of a leaf of ours are in the step's result. */
  publish(step: Step, leaf: Leaf): void;
  /**
   * A fault on purpose: for `ms` nothing passes between this worker and `worker`, in either
   * direction and in any world, and neither sees a connection end. Then the link is broken: a
   * peer that was connected counts as lost, one that was being dialled is dialled again.
   */
  mute(worker: string, ms: number): void;
  /** Leaves; first lets peers pull what they still need of the last complete step. */
  close(onClosed: () => void): void;
}

/** What the host of an exchange provides. */
export interface ExchangePorts<Values> {
  readonly clock: Clock;
  readonly limits: ExchangeLimits;
  readonly events: ExchangeEvents;
  /** The way to a lane of a peer, whose address it is; nothing is sent yet. */
  openChannel(peer: Member, lane: number): PeerChannel<Values>;
  /** What adds up the vectors of a world; throws when they do not fit its plan. */
  createValues(world: ExchangeWorld, plan: FoldPlan): ChunkValues<Values>;
  readonly recordStep?: ExchangeRecorder | undefined;
  /** A fact worth a log line: a stream refused, with the reason. */
  log?(fact: string, fields: Readonly<Record<string, unknown>>): void;
}

const closedReason = 'this worker has closed its exchange';

/** A stream that is not, or not yet, part of our world. */
interface Visitor<Values> {
  readonly stream: ServedStream<Values>;
  readonly stopTimer: () => void;
  hello: ExchangeHello | undefined;
}

/** Owns the streams to and from the peers of a world, and those that wait for one. */
export class Exchange<Values> implements WorkerExchange {
  readonly #ports: ExchangePorts<Values>;
  readonly #visitors = new Set<Visitor<Values>>();
  /** The workers that nothing passes to or from for now; each ends its timer. */
  readonly #mutes = new Map<string, () => void>();
  #session: WorldSession<Values> | undefined;
  #isClosed = false;

  constructor(ports: ExchangePorts<Values>) {
    this.#ports = ports;
  }

  join(world: ExchangeWorld): void {
    if (this.#isClosed) throw new Error('the exchange is closed');
    this.#leave(`left for generation ${world.world.generation}`);
    const session = new WorldSession(world, this.#ports);
    this.#session = session;
    session.join();
    for (const worker of this.#mutes.keys()) session.mute(worker);
    for (const visitor of [...this.#visitors]) this.#admit(visitor);
  }

  /** Leaves the world at once, if there is one: nothing is written to its vectors any more. */
  leave(onLeft: () => void): void {
    this.#leave('left for no other world');
    onLeft();
  }

  #leave(reason: string): void {
    this.#session?.close(reason);
    this.#session = undefined;
  }

  begin(step: Step, shape: StepShape): void {
    this.#sessionFor(step).begin(step, shape);
  }

  contribute(step: Step, index: number): void {
    this.#sessionFor(step).contribute(step, index);
  }

  publish(step: Step, leaf: Leaf): void {
    this.#sessionFor(step).publish(step, leaf);
  }

  mute(worker: string, ms: number): void {
    this.#mutes.get(worker)?.();
    this.#mutes.set(
      worker,
      this.#ports.clock.after(ms, () => this.#unmute(worker)),
    );
    this.#session?.mute(worker);
  }

  close(onClosed: () => void): void {
    if (this.#isClosed) return onClosed();
    this.#isClosed = true;
    for (const stopTimer of this.#mutes.values()) stopTimer();
    this.#mutes.clear();
    const finish = (): void => {
      this.#session?.close(closedReason);
      for (const visitor of [...this.#visitors]) this.#refuse(visitor, 'UNAVAILABLE', closedReason);
      onClosed();
    };
    if (this.#session === undefined) finish();
    else this.#session.drain(finish);
  }

  /** A peer has opened a stream. */
  accept(call: IncomingCall<Values>): void {
    const { clock, limits } = this.#ports;
    const { helloMs, heldStreams, framesInFlight } = limits;
    const stream = new ServedStream(call, framesInFlight, (hello) => {
      visitor.hello = hello;
      this.#admit(visitor);
    });
    const stopTimer = clock.after(helloMs, () => {
      const what = visitor.hello === undefined ? 'no hello' : 'this worker did not join your world';
      this.#refuse(visitor, 'DEADLINE_EXCEEDED', `${what} within ${helloMs / 1000} s`);
    });
    const visitor: Visitor<Values> = { stream, stopTimer, hello: undefined };
    this.#visitors.add(visitor);
    stream.handle({
      onPull: () => this.#refuse(visitor, 'INVALID_ARGUMENT', 'asked before the welcome'),
      onRoom: () => undefined,
      onClosed: () => this.#forget(visitor),
    });
    if (this.#isClosed) this.#refuse(visitor, 'UNAVAILABLE', closedReason);
    else if (this.#visitors.size > heldStreams) {
      // Whoever waits longest is the least likely to be a peer; one that is dials again.
      const [oldest = visitor] = this.#visitors;
      this.#refuse(oldest, 'UNAVAILABLE', 'too many streams are waiting');
    }
  }

  #sessionFor(step: Step): WorldSession<Values> {
    if (this.#session === undefined) throw new Error(`step ${step} before any world`);
    return this.#session;
  }

  #admit(visitor: Visitor<Values>): void {
    if (visitor.hello === undefined || this.#mutes.has(visitor.hello.fromWorker)) return;
    const admission = admitPeer(visitor.hello, this.#session?.world);
    if (admission.kind === 'hold') return;
    if (admission.kind === 'refuse')
      return this.#refuse(visitor, 'FAILED_PRECONDITION', admission.reason);
    this.#forget(visitor);
    visitor.stream.admitted();
    this.#session?.attach(admission.rank, visitor.stream);
  }

  /** Streams that the peer opened meanwhile were never seen; it is to open new ones. */
  #unmute(worker: string): void {
    this.#mutes.delete(worker);
    this.#session?.unmute(worker);
    for (const visitor of [...this.#visitors])
      if (visitor.hello?.fromWorker === worker)
        this.#refuse(visitor, 'UNAVAILABLE', 'the link was cut');
  }

  #refuse(visitor: Visitor<Values>, code: RefusalCode, reason: string): void {
    const peer = visitor.hello?.fromWorker.slice(0, 200);
    this.#ports.log?.('exchange stream refused', { peer, address: visitor.stream.peer, reason });
    this.#forget(visitor);
    visitor.stream.refuse(code, reason);
  }

  #forget(visitor: Visitor<Values>): void {
    visitor.stopTimer();
    this.#visitors.delete(visitor);
  }
}
