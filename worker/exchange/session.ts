// One world of the exchange: joins the pure core to its streams and vectors. It performs what
// the core decides and reports what happens; it decides only what a lost peer means.

import type { Clock } from '../../shared/clock.js';
import type { StepShape } from '../../shared/plan/step-vector.js';
import type { Leaf, Rank, Step } from '../../shared/words.js';
import { Lateness, LinkRates, Silence } from './core/liveness.js';
import { helloBetween, type FrameHeader, type Pull } from './core/messages.js';
import { createReceiver, type ReceiveEffect, type Receiver } from './core/receive.js';
import { createSender, type Sender } from './core/send.js';
import {
  createFoldPlan,
  createStepProgress,
  reductionWorldOf,
  type ReductionWorld,
  type StepProgress,
} from './core/world.js';
import type {
  ExchangeEvents,
  ExchangePorts,
  ExchangeSpans,
  ExchangeWorld,
  PeerLost,
} from './exchange.js';
import type { ExchangeLimits } from './limits.js';
import { PullLink } from './pull-link.js';
import type { ServedStream } from './served-stream.js';
import type { ChunkValues, ValueEffect } from './values.js';

/** The streams and the core of one world; owns the connections to its peers. */
export class WorldSession<Values> {
  readonly world: ExchangeWorld;
  readonly #ports: ExchangePorts<Values>;
  readonly #clock: Clock;
  readonly #limits: ExchangeLimits;
  readonly #events: ExchangeEvents;
  readonly #core: ReductionWorld;
  readonly #progress: StepProgress;
  readonly #receiver: Receiver;
  readonly #sender: Sender;
  readonly #values: ChunkValues<Values>;
  readonly #links = new Map<Rank, PullLink<Values>>();
  readonly #streams = new Map<Rank, ServedStream<Values>>();
  readonly #lost = new Set<Rank>();
  /** Losses that the step under way can do without, reported when it is over. */
  readonly #unreported: PeerLost[] = [];
  readonly #silence: Silence<Rank>;
  readonly #lateness = new Lateness();
  readonly #rates = new LinkRates();
  /** Bytes of values since a step was done last; what a peer takes late counts for the next. */
  #bytes = { sentBytes: 0, receivedBytes: 0 };
  readonly #stopTicks: () => void;
  /** Of the step begun last, while it is traced. */
  #spans: ExchangeSpans | undefined;
  /** What is under way. */
  #pending: 'join' | 'step' | undefined;
  #onDrained: (() => void) | undefined;
  #isClosed = false;

  constructor(world: ExchangeWorld, ports: ExchangePorts<Values>) {
    const { clock, limits, events } = ports;
    const plan = createFoldPlan(world.world.members.length, world.microShards);
    this.world = world;
    this.#ports = ports;
    this.#clock = clock;
    this.#limits = limits;
    this.#events = events;
    this.#values = ports.createValues(world, plan);
    this.#core = reductionWorldOf(world, plan, limits.heldBytes);
    this.#progress = createStepProgress(plan.heldBy[world.rank].length);
    this.#receiver = createReceiver(this.#core, this.#progress);
    this.#sender = createSender(this.#core, this.#progress);
    this.#silence = new Silence(limits.aliveMs, limits.silenceMs);
    this.#stopTicks = clock.every(limits.aliveMs, () => this.#tick());
  }

  /** Dials every peer. */
  join(): void {
    const { world, rank } = this.world;
    const peers = world.members.filter((member) => member.rank !== rank);
    let missing = peers.length;
    this.#pending = 'join';
    if (missing === 0) return this.#clock.soon(() => this.#settle());
    for (const member of peers) {
      const hello = helloBetween(this.world, rank, member.rank)!;
      const channel = this.#ports.openChannel(member, this.world.lane);
      const link = new PullLink(member, hello, channel, this.#limits, this.#clock, {
        onWelcome: () => {
          this.#silence.heard(member.rank);
          missing -= 1;
          if (missing === 0) this.#settle();
        },
        onFrame: (header, values) => this.#onFrame(member.rank, header, values),
        onLost: (reason) => this.#lose(member.rank, reason),
      });
      this.#links.set(member.rank, link);
    }
  }

  /** Begins a step. A world that has lost a peer takes none: the loss was reported. */
  begin(step: Step, shape: StepShape): void {
    if (this.#isClosed) throw new Error(`step ${step} of a world that is left`);
    if (this.#lost.size > 0) return;
    if (this.#pending !== undefined) throw new Error(`step ${step} begun during another call`);
    const chunks = this.#core.chunksOf(shape);
    if (chunks === undefined) throw new Error(`step ${step} does not fit the world's vectors`);
    this.#progress.begin({ step, chunks });
    this.#values.begin({ step, chunks });
    this.#pending = 'step';
    this.#spans = this.#ports.recordStep?.(this.world, step);
    for (const { rank, reason } of this.#sender.begin()) this.#refusePull(rank, reason);
    this.#perform(this.#receiver.begin(), undefined);
  }

  /** A contribution is complete: it can leave, and is added to what waited for it. */
  contribute(step: Step, index: number): void {
    if (!this.#isBegun(step)) return;
    this.#perform(this.#receiver.contributed(index), undefined);
    this.#pumpAll();
  }

  /** The factors of a leaf of ours can leave. */
  publish(step: Step, leaf: Leaf): void {
    if (!this.#isBegun(step)) return;
    this.#perform(this.#receiver.published(leaf), undefined);
    this.#pumpAll();
  }

  /** False for a step that is given up: a world that has lost a peer takes none. */
  #isBegun(step: Step): boolean {
    if (this.#progress.current?.step === step) return true;
    if (this.#isClosed || this.#lost.size > 0) return false;
    throw new Error(`step ${step} was not begun`);
  }

  /** Takes over a stream whose hello was accepted; an earlier one of that rank is dropped. */
  attach(rank: Rank, stream: ServedStream<Values>): void {
    this.#streams.get(rank)?.refuse('ABORTED', 'replaced by a newer stream');
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
    for (const rank of this.#ranksOf(worker)) {
      this.#links.get(rank)?.mute();
      this.#streams.get(rank)?.mute();
    }
  }

  /** Breaks what was muted: dials again, or counts the worker as lost. */
  unmute(worker: string): void {
    for (const rank of this.#ranksOf(worker)) {
      this.#streams.get(rank)?.refuse('UNAVAILABLE', 'the link was cut');
      this.#links.get(rank)?.unmute();
    }
  }

  /** Waits, at most `lingerMs`, until every peer has our part of the last complete step. */
  drain(onDrained: () => void): void {
    if (this.#lost.size > 0 || this.#pending !== undefined) return onDrained();
    const stopTimer = this.#clock.after(this.#limits.lingerMs, () => this.#onDrained?.());
    this.#onDrained = () => {
      this.#onDrained = undefined;
      stopTimer();
      onDrained();
    };
    this.#checkDrained();
  }

  /** Drops all streams at once. Nothing is reported any more. */
  close(reason: string): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#stopTicks();
    for (const link of this.#links.values()) link.close();
    for (const stream of this.#streams.values()) stream.refuse('UNAVAILABLE', reason);
    this.#onDrained?.();
  }

  #ranksOf(worker: string): Rank[] {
    const members = this.world.world.members.filter((member) => member.worker === worker);
    return members.map(({ rank }) => rank);
  }

  /** What was under way is done. */
  #settle(): void {
    if (this.#isClosed) return;
    const { generation } = this.#core;
    const pending = this.#pending;
    const waited = this.#lateness.take(this.#clock.nowMs());
    const cost = { ...waited, ...this.#bytes, link: this.#rates.take() };
    this.#bytes = { sentBytes: 0, receivedBytes: 0 };
    this.#pending = undefined;
    if (pending === 'join') this.#events.onJoined(generation);
    else if (pending === 'step') {
      this.#spans?.over();
      this.#events.onReduced(generation, this.#progress.current!.step, cost);
    }
    // After the caller has seen its step done: the last step needs no peers any more.
    if (this.#unreported.length > 0) this.#clock.soon(() => this.#flushLosses());
  }

  #flushLosses(): void {
    if (this.#isClosed) return;
    for (const lost of this.#unreported.splice(0)) this.#events.onPeerLost(lost);
  }

  #onFrame(rank: Rank, header: FrameHeader, values: Values): void {
    this.#silence.heard(rank);
    if (header.kind === 'alive') return;
    this.#bytes.receivedBytes += header.bytes;
    const end = this.#spans?.received(rank, header);
    this.#perform(this.#receiver.onFrame(rank, header), values);
    end?.();
  }

  #perform(effects: readonly ReceiveEffect[], received: Values | undefined): void {
    for (const effect of effects) {
      if (effect.kind === 'ask') this.#ask(effect.to, effect.pull);
      else if (effect.kind === 'refuse') this.#lose(effect.from, `sent ${effect.reason}`);
      else if (effect.kind === 'gathered')
        this.#events.onGathered(this.#core.generation, effect.step);
      else if (effect.kind !== 'done') this.#work(effect, received);
    }
    if (effects.some(({ kind }) => kind === 'finish' || kind === 'ask')) this.#pumpAll();
    if (effects.at(-1)?.kind === 'done') this.#settle();
    else {
      this.#lateness.note(this.#receiver.awaitedAlone(), this.#clock.nowMs());
      if (!this.#progress.isContributed) return;
      this.#spans?.waiting(
        [...this.#links.keys()].filter((one) => this.#receiver.awaited(one) > 0),
      );
    }
  }

  #ask(to: Rank, pull: Pull): void {
    this.#spans?.asked(to, pull);
    this.#links.get(to)?.ask(pull);
  }

  #work(effect: ValueEffect, received: Values | undefined): void {
    const end = effect.kind === 'hold' ? undefined : this.#spans?.worked(effect);
    this.#values.perform(effect, received);
    end?.();
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
      this.#bytes.sentBytes += frame.header.bytes;
      const end = this.#spans?.sending(rank, frame.header);
      stream.write({ header: frame.header, values: this.#values.valuesOf(frame) });
      end?.();
    }
  }

  #refusePull(rank: Rank, reason: string): void {
    this.#streams.get(rank)?.refuse('INVALID_ARGUMENT', `asked for ${reason}`);
    this.#lose(rank, `asked for ${reason}`);
  }

  #lose(rank: Rank, reason: string): void {
    if (this.#isClosed || this.#onDrained !== undefined || this.#lost.has(rank)) return;
    const { generation } = this.#core;
    this.#lost.add(rank);
    this.#links.get(rank)?.close();
    this.#silence.forget(rank);
    const { worker } = this.world.world.members[rank];
    this.#unreported.push({ generation, rank, worker, reason });
    if (this.#pending === 'step' && !this.#receiver.needs(rank)) return;
    this.#pending = undefined;
    this.#flushLosses();
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
    const nowMs = this.#clock.nowMs();
    for (const [rank, link] of this.#links) this.#watchLink(rank, link.takeReceivedBytes(), nowMs);
    for (const rank of this.#silence.tick(nowMs))
      this.#lose(rank, `sent nothing for ${this.#limits.silenceMs / 1000} s`);
  }

  #watchLink(rank: Rank, freshBytes: number, nowMs: number): void {
    const isArriving = freshBytes >= this.#limits.aliveBytes;
    if (isArriving) this.#silence.heard(rank);
    // What peers send while we compute holds nobody up.
    const isWaiting = this.#pending === 'step' && this.#progress.isContributed;
    const isAwaited = isWaiting && this.#receiver.awaited(rank) > 0;
    this.#rates.note(rank, isArriving ? freshBytes : 0, isAwaited, nowMs);
  }

  #checkDrained(): void {
    if (this.#onDrained === undefined) return;
    for (const [rank, stream] of this.#streams)
      if (stream.isSending || !this.#sender.isServed(rank)) return;
    this.#onDrained();
  }
}
