// One world of a simulated worker's exchange: the real core with simulated streams, in the order
// of worker/exchange/world-session.ts.

import { chunkFloats } from '../../shared/plan/reduction.js';
import type { Rank } from '../../shared/words.js';
import { createFoldPlan } from '../../worker/exchange/fold-plan.js';
import type { FrameHeader } from '../../worker/exchange/frame.js';
import { createProgress } from '../../worker/exchange/progress.js';
import type { Pull } from '../../worker/exchange/pulls.js';
import {
  createReceiver,
  type ReceiveEffect,
  type Receiver,
} from '../../worker/exchange/receive.js';
import { createSender, type Outgoing, type Sender } from '../../worker/exchange/send.js';
import { Silence } from '../../worker/exchange/silence.js';
import type { Hello } from '../../worker/exchange/wire.js';
import { defaultExchangeLimits } from '../../worker/exchange/limits.js';
import { helloBetween } from '../../worker/exchange/admission.js';
import type { ExchangeWorld } from '../../worker/exchange/exchange.js';
import type { Side } from './network.js';
import type { SimProcess } from './process.js';
import { add, scale, type ChunkValue } from './training-state.js';

const { aliveMs, silenceMs, dialMs, framesInFlight } = defaultExchangeLimits;
const redialMs = 200;

/** What a client sends. */
export type Request =
  | { readonly kind: 'hello'; readonly hello: Hello }
  | { readonly kind: 'pull'; readonly pull: Pull };
/** What a server sends; a refusal ends the stream. */
export interface Frame {
  readonly header: FrameHeader;
  readonly value: ChunkValue | undefined;
}
export type ClientSide = Side<Request, Frame>;
export type ServerSide = Side<Frame, Request>;

/** The vectors of a world, shared by the threads of a worker. */
export interface Vectors {
  readonly contributions: readonly ChunkValue[][];
  readonly results: readonly [ChunkValue[], ChunkValue[]];
}

export interface SessionPorts {
  readonly process: SimProcess;
  /** Connects to an address. */
  dial(address: string, done: (side: ClientSide | string) => void): void;
  onJoined(): void;
  onReduced(step: number): void;
  onLost(worker: string, reason: string): void;
}

interface Serving {
  readonly side: ServerSide;
  inFlight: number;
  written: number;
}

export class ExchangeSession {
  readonly world: ExchangeWorld;
  readonly #vectors: Vectors;
  readonly #ports: SessionPorts;
  readonly #plan;
  readonly #progress = createProgress();
  readonly #receiver: Receiver;
  readonly #sender: Sender;
  readonly #clients = new Map<Rank, ClientSide>();
  readonly #streams = new Map<Rank, Serving>();
  readonly #lost = new Set<Rank>();
  readonly #held = new Map<string, ChunkValue>();
  readonly #silence = new Silence<Rank>(aliveMs, silenceMs);
  readonly #unreported: { rank: Rank; reason: string }[] = [];
  #missing: number;
  #pending: 'join' | 'step' | undefined;
  #isClosed = false;

  constructor(world: ExchangeWorld, vectors: Vectors, windowChunks: number, ports: SessionPorts) {
    this.world = world;
    this.#vectors = vectors;
    this.#ports = ports;
    const worldSize = world.world.members.length;
    this.#plan = createFoldPlan(worldSize, world.microShards);
    const capacity = vectors.results[0].length * chunkFloats;
    const { rank } = world;
    const { generation } = world.world;
    const core = { generation, rank, worldSize, plan: this.#plan, capacity, windowChunks };
    this.#receiver = createReceiver(core, this.#progress);
    this.#sender = createSender(core, this.#progress);
    this.#missing = worldSize - 1;
    this.#tickLater();
  }

  join(): void {
    this.#pending = 'join';
    const { world, rank } = this.world;
    if (this.#missing === 0) return this.#settle();
    const startedMs = this.#ports.process.nowMs();
    for (const { rank: peer } of world.members) if (peer !== rank) this.#dial(peer, startedMs);
  }

  allReduce(step: number, floats: number): void {
    if (this.#lost.size > 0 || this.#isClosed) return;
    this.#progress.begin({ step, floats });
    this.#held.clear();
    this.#pending = 'step';
    for (const { rank, reason } of this.#sender.begin()) this.#refusePull(rank, reason);
    this.#perform(this.#receiver.begin(), undefined);
  }

  /** Takes over a stream whose hello was accepted; an earlier one of that rank is dropped. */
  attach(rank: Rank, side: ServerSide): void {
    this.#streams.get(rank)?.side.close('replaced by a newer stream');
    const serving: Serving = { side, inFlight: 0, written: 0 };
    this.#streams.set(rank, serving);
    side.events = {
      onMessage: (request) => {
        if (request.kind === 'pull') this.#onPull(rank, request.pull);
      },
      onClosed: () => {
        if (this.#streams.get(rank) === serving) this.#streams.delete(rank);
      },
    };
    this.#write(rank, serving, this.#note('welcome'));
  }

  close(reason: string): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    for (const client of this.#clients.values()) client.close(reason);
    for (const { side } of this.#streams.values()) side.close(reason);
    this.#pending = undefined;
  }

  #note(kind: 'welcome' | 'alive'): Frame {
    const zeros = { step: 0, chunk: 0, start: 0, end: 0, floats: 0 };
    const { generation } = this.world.world;
    return { header: { kind, generation, ...zeros }, value: undefined };
  }

  #dial(peer: Rank, startedMs: number): void {
    const { process } = this.#ports;
    const again = (reason: string): void => {
      if (this.#isClosed || this.#lost.has(peer)) return;
      if (process.nowMs() - startedMs > dialMs) return this.#lose(peer, `not reached: ${reason}`);
      process.after(redialMs, () => {
        if (!this.#isClosed) this.#dial(peer, startedMs);
      });
    };
    this.#ports.dial(this.world.world.members[peer].address, (side) => {
      if (typeof side === 'string') return again(side);
      if (this.#isClosed) return side.close('left');
      let isWelcome = false;
      side.events = {
        onMessage: (frame) => {
          if (isWelcome) return this.#onFrame(peer, frame);
          isWelcome = true;
          this.#silence.heard(peer);
          this.#missing -= 1;
          if (this.#missing === 0 && this.#lost.size === 0) this.#settle();
        },
        onClosed: (reason) => {
          if (this.#clients.get(peer) !== side) return;
          const isRefusal = reason.startsWith('refused');
          if (isWelcome || isRefusal) this.#lose(peer, `ended its stream: ${reason}`);
          else again(reason);
        },
      };
      this.#clients.set(peer, side);
      const hello = helloBetween(this.world, this.world.rank, peer)!;
      side.send({ kind: 'hello', hello });
      // The time to connect is over even if the peer only never answers.
      process.after(Math.max(0, startedMs + dialMs - process.nowMs()), () => {
        if (!isWelcome && this.#clients.get(peer) === side) this.#lose(peer, 'no welcome');
      });
    });
  }

  #onFrame(rank: Rank, { header, value }: Frame): void {
    if (this.#isClosed) return;
    this.#silence.heard(rank);
    if (header.kind === 'alive' || header.kind === 'welcome') return;
    this.#perform(this.#receiver.onFrame(rank, header), value);
  }

  #perform(effects: readonly ReceiveEffect[], received: ChunkValue | undefined): void {
    for (const effect of effects) {
      if (effect.kind === 'ask') {
        this.#clients.get(effect.to)?.send({ kind: 'pull', pull: effect.pull });
      } else if (effect.kind === 'refuse') this.#lose(effect.from, `sent ${effect.reason}`);
      else if (effect.kind !== 'done') this.#compute(effect, received);
    }
    if (effects.some(({ kind }) => kind === 'finish' || kind === 'ask'))
      for (const rank of [...this.#streams.keys()]) this.#pump(rank);
    if (effects.at(-1)?.kind === 'done') this.#settle();
  }

  #compute(
    effect: Extract<ReceiveEffect, { kind: 'hold' | 'add' | 'finish' | 'store' }>,
    received: ChunkValue | undefined,
  ): void {
    const { chunk } = effect;
    const result = this.#vectors.results[this.#progress.current!.step % 2 === 0 ? 0 : 1];
    if (effect.kind === 'hold') this.#held.set(`${chunk}:${effect.node}`, received!);
    else if (effect.kind === 'store') result[chunk] = received!;
    else {
      const left = this.#take(chunk, effect.left);
      const right = effect.right === undefined ? undefined : this.#take(chunk, effect.right);
      const sum = right === undefined ? left : add(left, right);
      if (effect.kind === 'add') this.#held.set(`${chunk}:${effect.node}`, sum);
      else result[chunk] = scale(sum, this.world.microShards);
    }
  }

  #take(chunk: number, node: number): ChunkValue {
    const own = this.#plan.heldBy[this.world.rank].indexOf(node);
    if (own >= 0) return this.#vectors.contributions[own][chunk];
    const value = this.#held.get(`${chunk}:${node}`)!;
    this.#held.delete(`${chunk}:${node}`);
    return value;
  }

  #onPull(rank: Rank, pull: Pull): void {
    if (this.#isClosed) return;
    const reason = this.#sender.onPull(rank, pull);
    if (reason !== undefined) return this.#refusePull(rank, reason);
    this.#pump(rank);
  }

  #pump(rank: Rank): void {
    const serving = this.#streams.get(rank);
    while (serving !== undefined && serving.side.isOpen && serving.inFlight < framesInFlight) {
      const frame = this.#sender.nextFrame(rank);
      if (frame === undefined) return;
      this.#write(rank, serving, { header: frame.header, value: this.#valueOf(frame) });
    }
  }

  #valueOf({ header, contribution }: Outgoing): ChunkValue {
    const result = this.#vectors.results[header.step % 2 === 0 ? 0 : 1];
    const vector = contribution === undefined ? result : this.#vectors.contributions[contribution];
    return vector[header.chunk];
  }

  #write(rank: Rank, serving: Serving, frame: Frame): void {
    serving.inFlight += 1;
    serving.written += 1;
    serving.side.send(frame, () => {
      serving.inFlight -= 1;
      if (!this.#isClosed && this.#streams.get(rank) === serving) this.#pump(rank);
    });
  }

  #refusePull(rank: Rank, reason: string): void {
    this.#streams.get(rank)?.side.close(`refused: asked for ${reason}`);
    this.#lose(rank, `asked for ${reason}`);
  }

  #lose(rank: Rank, reason: string): void {
    if (this.#isClosed || this.#lost.has(rank)) return;
    this.#lost.add(rank);
    this.#clients.get(rank)?.close('lost');
    this.#silence.forget(rank);
    this.#unreported.push({ rank, reason });
    if (this.#pending === 'step' && !this.#receiver.needs(rank)) return;
    this.#pending = undefined;
    this.#flushLosses();
  }

  #flushLosses(): void {
    for (const { rank, reason } of this.#unreported.splice(0))
      this.#ports.onLost(this.world.world.members[rank].worker, reason);
  }

  #settle(): void {
    const pending = this.#pending;
    this.#pending = undefined;
    if (pending === 'join') this.#ports.onJoined();
    if (pending === 'step') this.#ports.onReduced(this.#progress.current!.step);
    if (this.#unreported.length > 0 && !this.#isClosed) this.#flushLosses();
  }

  #tickLater(): void {
    this.#ports.process.after(aliveMs, () => {
      if (this.#isClosed) return;
      this.#tick();
      this.#tickLater();
    });
  }

  /** Says that we are alive where nothing else was said, and looks who has been silent. */
  #tick(): void {
    for (const [rank, serving] of this.#streams) {
      const isQuiet = serving.written === 0 && serving.inFlight === 0;
      serving.written = 0;
      if (isQuiet) this.#write(rank, serving, this.#note('alive'));
    }
    for (const rank of this.#silence.tick(this.#ports.process.nowMs()))
      this.#lose(rank, `sent nothing for ${silenceMs} ms`);
  }
}
