// One world of the exchange: joins the pure core to its streams and vectors. It performs what
// the core decides and reports what happens; it decides only what a lost peer means.

import * as grpc from '@grpc/grpc-js';

import type { Member, Rank, Step } from '../../shared/words.js';
import { helloBetween } from './admission.js';
import { createChunkValues, type ChunkValues } from './chunk-values.js';
import { PeerLostError, type ExchangeWorld, type PeerLost, type Reduced } from './exchange.js';
import { createFoldPlan } from './fold-plan.js';
import type { FrameHeader } from './frame.js';
import { Lateness } from './lateness.js';
import type { ExchangeLimits } from './limits.js';
import { createProgress, type Progress } from './progress.js';
import { PullClient } from './pull-client.js';
import type { CoreWorld, Pull } from './pulls.js';
import { createReceiver, type ReceiveEffect, type Receiver } from './receive.js';
import { createSender, type Sender } from './send.js';
import type { ServingStream } from './serving-stream.js';
import { Silence } from './silence.js';
import { coreWorldOf } from './world-geometry.js';

interface Pending {
  readonly kind: 'join' | 'step';
  resolve(reduced: Reduced): void;
  reject(error: Error): void;
}

/** The streams and the core of one world; owns the connections to its peers. */
export class WorldSession {
  readonly world: ExchangeWorld;
  readonly #limits: ExchangeLimits;
  readonly #report: (lost: PeerLost) => void;
  readonly #core: CoreWorld;
  readonly #progress: Progress = createProgress();
  readonly #receiver: Receiver;
  readonly #sender: Sender;
  readonly #values: ChunkValues;
  readonly #clients = new Map<Rank, PullClient>();
  readonly #streams = new Map<Rank, ServingStream>();
  readonly #lost = new Map<Rank, PeerLost>();
  /** Losses that the step under way can do without, reported when it is over. */
  readonly #unreported: PeerLost[] = [];
  readonly #silence: Silence<Rank>;
  readonly #lateness = new Lateness();
  readonly #ticker: NodeJS.Timeout;
  #pending: Pending | undefined;
  #onDrained: (() => void) | undefined;
  #isClosed = false;

  constructor(world: ExchangeWorld, limits: ExchangeLimits, report: (lost: PeerLost) => void) {
    const plan = createFoldPlan(world.world.members.length, world.microShards);
    this.world = world;
    this.#limits = limits;
    this.#report = report;
    this.#core = coreWorldOf(world, plan, limits.heldBytes);
    this.#receiver = createReceiver(this.#core, this.#progress);
    this.#sender = createSender(this.#core, this.#progress);
    this.#values = createChunkValues(world, plan);
    this.#silence = new Silence(limits.aliveMs, limits.silenceMs);
    this.#ticker = setInterval(() => this.#tick(), limits.aliveMs);
  }

  /** Dials every peer; resolves when all have welcomed us, rejects when one is lost. */
  async join(): Promise<void> {
    const { world, rank } = this.world;
    const peers = world.members.filter((member) => member.rank !== rank);
    let missing = peers.length;
    if (missing === 0) return;
    const joined = this.#wait('join');
    for (const member of peers) {
      const hello = helloBetween(this.world, rank, member.rank)!;
      const client = new PullClient(member, hello, this.#limits, {
        onWelcome: () => {
          this.#silence.heard(member.rank);
          missing -= 1;
          if (missing === 0) this.#settle();
        },
        onFrame: (header, values) => this.#onFrame(member.rank, header, values),
        onLost: (reason) => this.#lose(member.rank, reason),
      });
      this.#clients.set(member.rank, client);
    }
    await joined;
  }

  /** Begins a step; resolves when its result is complete here. */
  async allReduce(step: Step, floats: number): Promise<Reduced> {
    if (this.#isClosed) throw new Error(`step ${step} of a world that is left`);
    const [lost] = this.#lost.values();
    if (lost !== undefined) throw new PeerLostError(lost);
    if (this.#pending !== undefined) throw new Error(`step ${step} begun during another call`);
    if (!(floats >= 1 && floats <= this.#core.capacity)) {
      throw new Error(`${floats} floats of a vector of ${this.#core.capacity}`);
    }
    this.#progress.begin({ step, floats });
    this.#values.begin({ step, floats });
    const done = this.#wait('step');
    for (const { rank, reason } of this.#sender.begin()) this.#refusePull(rank, reason);
    this.#perform(this.#receiver.begin(), undefined);
    return done;
  }

  /** Takes over a stream whose Hello was accepted; an earlier one of that rank is dropped. */
  attach(rank: Rank, stream: ServingStream): void {
    this.#streams.get(rank)?.refuse(grpc.status.ABORTED, 'replaced by a newer stream');
    this.#streams.set(rank, stream);
    stream.handle({
      onPull: (pull) => this.#onPull(rank, pull),
      onRoom: () => {
        this.#pump(rank);
        this.#checkDrained();
      },
      // Whether the peer is lost shows on our own stream to it.
      onClosed: () => {
        if (this.#streams.get(rank) === stream) this.#streams.delete(rank);
        this.#checkDrained();
      },
    });
    stream.writeNote('welcome', this.#core.generation);
  }

  /** From now on nothing passes between us and a worker, in either direction. */
  mute(worker: string): void {
    for (const { rank } of this.#membersNamed(worker)) {
      this.#clients.get(rank)?.mute();
      this.#streams.get(rank)?.mute();
    }
  }

  /** Breaks what was muted: dials again, or counts the worker as lost. */
  unmute(worker: string): void {
    for (const { rank } of this.#membersNamed(worker)) {
      this.#streams.get(rank)?.refuse(grpc.status.UNAVAILABLE, 'the link was cut');
      this.#clients.get(rank)?.unmute();
    }
  }

  /** Waits, at most `lingerMs`, until every peer has our part of the last complete step. */
  async drain(): Promise<void> {
    if (this.#lost.size > 0 || this.#pending !== undefined) return;
    const drained = new Promise<void>((resolve) => (this.#onDrained = resolve));
    const timer = setTimeout(() => this.#onDrained?.(), this.#limits.lingerMs);
    this.#checkDrained();
    await drained;
    clearTimeout(timer);
  }

  /** Drops all streams at once; a pending call rejects with `reason`. */
  close(reason: string): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    clearInterval(this.#ticker);
    for (const client of this.#clients.values()) client.close();
    for (const stream of this.#streams.values()) stream.refuse(grpc.status.UNAVAILABLE, reason);
    this.#settle(new Error(reason));
    this.#onDrained?.();
  }

  #membersNamed(worker: string): Member[] {
    return this.world.world.members.filter((member) => member.worker === worker);
  }

  #wait(kind: Pending['kind']): Promise<Reduced> {
    return new Promise((resolve, reject) => (this.#pending = { kind, resolve, reject }));
  }

  #settle(error?: Error): void {
    const pending = this.#pending;
    this.#pending = undefined;
    const reduced = this.#lateness.take(performance.now());
    if (error === undefined) pending?.resolve(reduced);
    else pending?.reject(error);
    // After the caller has seen its step done: the last step needs no peers any more.
    if (this.#unreported.length > 0) setImmediate(() => this.#flushLosses());
  }

  #flushLosses(): void {
    if (this.#isClosed) return;
    for (const lost of this.#unreported.splice(0)) this.#report(lost);
  }

  #onFrame(rank: Rank, header: FrameHeader, values: Float32Array): void {
    this.#silence.heard(rank);
    if (header.kind === 'alive') return;
    this.#perform(this.#receiver.onFrame(rank, header), values);
  }

  #perform(effects: readonly ReceiveEffect[], received: Float32Array | undefined): void {
    for (const effect of effects) {
      if (effect.kind === 'ask') this.#clients.get(effect.to)?.ask(effect.pull);
      else if (effect.kind === 'refuse') this.#lose(effect.from, `sent ${effect.reason}`);
      else if (effect.kind !== 'done') this.#values.perform(effect, received);
    }
    if (effects.some(({ kind }) => kind === 'finish' || kind === 'ask')) this.#pumpAll();
    if (effects.at(-1)?.kind === 'done') this.#settle();
    else this.#lateness.note(this.#receiver.awaitedAlone(), performance.now());
  }

  #onPull(rank: Rank, pull: Pull): void {
    const reason = this.#sender.onPull(rank, pull);
    if (reason !== undefined) return this.#refusePull(rank, reason);
    this.#pump(rank);
  }

  #pumpAll(): void {
    for (const rank of this.#streams.keys()) this.#pump(rank);
  }

  #pump(rank: Rank): void {
    const stream = this.#streams.get(rank);
    while (stream?.hasRoom) {
      const frame = this.#sender.nextFrame(rank);
      if (frame === undefined) return;
      stream.write({ header: frame.header, values: this.#values.valuesOf(frame) });
    }
  }

  #refusePull(rank: Rank, reason: string): void {
    this.#streams.get(rank)?.refuse(grpc.status.INVALID_ARGUMENT, `asked for ${reason}`);
    this.#lose(rank, `asked for ${reason}`);
  }

  #lose(rank: Rank, reason: string): void {
    if (this.#isClosed || this.#onDrained !== undefined || this.#lost.has(rank)) return;
    const { generation } = this.#core;
    const lost = { generation, rank, worker: this.world.world.members[rank].worker, reason };
    this.#lost.set(rank, lost);
    this.#clients.get(rank)?.close();
    this.#silence.forget(rank);
    this.#unreported.push(lost);
    if (this.#pending?.kind === 'step' && !this.#receiver.needs(rank)) return;
    const first = this.#unreported[0];
    this.#flushLosses();
    this.#settle(new PeerLostError(first));
  }

  /** Says that we are alive where nothing else was said, and looks who has been silent. */
  #tick(): void {
    for (const stream of this.#streams.values()) {
      const isQuiet = stream.takeWritten() === 0 && !stream.isSending;
      if (!isQuiet) continue;
      stream.writeNote('alive', this.#core.generation);
      // A sign of life is no reason to leave out the next one.
      stream.takeWritten();
    }
    for (const rank of this.#silence.tick(performance.now())) {
      this.#lose(rank, `sent nothing for ${this.#limits.silenceMs / 1000} s`);
    }
  }

  #checkDrained(): void {
    if (this.#onDrained === undefined) return;
    for (const [rank, stream] of this.#streams) {
      if (stream.isSending || !this.#sender.isServed(rank)) return;
    }
    this.#onDrained();
  }
}
