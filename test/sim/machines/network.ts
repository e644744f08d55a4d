// The network of a simulation. Streams are ordered and reliable while both ends live, as
// TCP is: a cut link delays what is sent until it is healed, or until keepalive ends the stream
// on both sides. Control messages may be lost, doubled and reordered within their stream as well,
// which no real one does: the protocol says everything by level and has to bear it.

import type { Dice } from './dice.js';
import type { SimClock, SimProcess } from './process.js';

/** A ping and the wait for its answer: after so long without one, gRPC ends a stream. */
export const keepaliveMs = 6_000;

/** How long an attempt to connect takes when nothing answers. */
const dialTimeoutMs = 1_000;

/** How long a connection may wait for the process that listens. */
const acceptTimeoutMs = 2_000;

export interface StreamEvents<In> {
  onMessage(message: In): void;
  /** Once, and nothing follows. */
  onClosed(reason: string): void;
}

interface Item {
  readonly message: unknown;
  readonly isEnd: boolean;
  readonly onTaken: (() => void) | undefined;
}

/** One end of a stream. */
export class Side<Out = unknown, In = unknown> {
  other!: Side<In, Out>;
  events: StreamEvents<In> | undefined;
  isOpen = true;
  /** Messages that wait for the link to be healed. */
  stalled: Item[] = [];
  #lastMs = 0;

  constructor(
    readonly network: Network,
    readonly process: SimProcess,
  ) {}

  /** Sends a message; `onTaken` is called when the other end has got it. */
  send(message: Out, onTaken?: () => void): void {
    if (this.isOpen) this.#transmit({ message, isEnd: false, onTaken });
  }

  /** Sends a message that may be lost, doubled or overtaken. */
  sendLoosely(message: Out, dice: Dice): void {
    if (!this.isOpen) return;
    const copies = dice.chance(0.25) ? 0 : dice.chance(0.2) ? 2 : 1;
    for (let copy = 0; copy < copies; copy++) {
      this.network.clock.after(this.network.delayMs() + dice.between(0, 300), () => {
        if (!this.network.isCut(this.process.node, this.other.process.node))
          this.#receive({ message, isEnd: false, onTaken: undefined });
      });
    }
  }

  /** Ends the stream: what was sent before still arrives. */
  close(reason: string): void {
    if (!this.isOpen) return;
    this.isOpen = false;
    this.events = undefined;
    this.#transmit({ message: reason, isEnd: true, onTaken: undefined });
  }

  /** This end finds out by itself that the stream is over. */
  break(reason: string): void {
    this.network.forget(this);
    if (!this.isOpen) return;
    this.isOpen = false;
    this.process.deliver(() => this.events?.onClosed(reason));
  }

  /** Sends what had to wait. */
  resume(): void {
    const items = this.stalled;
    this.stalled = [];
    for (const item of items) this.#transmit(item);
  }

  #transmit(item: Item): void {
    const { clock } = this.network;
    this.#lastMs = Math.max(this.#lastMs, clock.nowMs + this.network.delayMs());
    clock.after(this.#lastMs - clock.nowMs, () => {
      const isCut = this.network.isCut(this.process.node, this.other.process.node);
      if (isCut || this.stalled.length > 0) this.stalled.push(item);
      else this.#receive(item);
    });
  }

  #receive({ message, isEnd, onTaken }: Item): void {
    const { other } = this;
    if (!other.isOpen) return;
    if (isEnd) {
      other.break(String(message));
      return this.network.forget(this);
    }
    // Taken by the other machine, whether or not the process reads it yet.
    if (onTaken !== undefined) this.process.deliver(onTaken);
    other.process.deliver(() => other.events?.onMessage(message as Out));
  }
}

interface Listener {
  readonly process: SimProcess;
  readonly accept: (side: Side) => void;
}

export class Network {
  readonly clock: SimClock;
  readonly #dice: Dice;
  readonly #listeners = new Map<string, Listener>();
  readonly #sides = new Set<Side>();
  /** How many cuts there are, by "from>to". */
  readonly #cuts = new Map<string, number>();
  readonly #gone = new Set<string>();
  #delays: readonly [number, number];
  /** Until when control messages are lost, doubled and reordered. */
  isLossy = false;

  constructor(clock: SimClock, dice: Dice, delays: readonly [number, number]) {
    this.clock = clock;
    this.#dice = dice;
    this.#delays = delays;
  }

  /** How long the next message takes. */
  delayMs(): number {
    return this.#dice.between(...this.#delays);
  }

  listen(address: string, process: SimProcess, accept: (side: Side) => void): void {
    this.#listeners.set(address, { process, accept });
  }

  /** Whether nothing passes from one machine to another. */
  isCut(from: string, to: string): boolean {
    if (this.#gone.has(from) || this.#gone.has(to)) return true;
    return this.#cuts.size > 0 && (this.#cuts.get(`${from}>${to}`) ?? 0) > 0;
  }

  /** Connects to an address; `done` gets this end, or why there is none. */
  dial(from: SimProcess, address: string, done: (side: Side | string) => void): void {
    let isAnswered = false;
    const answer = (result: Side | string, delayMs: number): void =>
      this.clock.after(delayMs, () => {
        const isLate = isAnswered || !from.isAlive;
        if (isLate && typeof result !== 'string') result.close('nobody waits for it');
        if (isLate) return;
        isAnswered = true;
        from.deliver(() => done(result));
      });
    // What listens may stand still, and die without having said a word.
    answer('no answer', acceptTimeoutMs);
    this.clock.after(this.delayMs(), () => {
      const to = address.slice(0, address.lastIndexOf(':'));
      if (this.isCut(from.node, to) || this.isCut(to, from.node))
        return answer('no answer', dialTimeoutMs);
      const listener = this.#listeners.get(address);
      if (listener === undefined || !listener.process.isAlive)
        return answer('connection refused', this.delayMs());
      // A process that stands still accepts nothing until it goes on.
      listener.process.deliver(() => {
        const [client, server] = this.#connect(from, listener.process);
        listener.accept(server);
        answer(client, this.delayMs());
      });
    });
  }

  /** Nothing passes from one machine to another for so long. */
  cut(from: string, to: string, forMs: number): void {
    const key = `${from}>${to}`;
    this.#cuts.set(key, (this.#cuts.get(key) ?? 0) + 1);
    this.#keepalive((side) => touches(side, from, to) && this.isCut(from, to));
    this.clock.after(forMs, () => {
      this.#cuts.set(key, Math.max(0, (this.#cuts.get(key) ?? 0) - 1));
      this.#resume();
    });
  }

  cutBothWays(a: string, b: string, forMs: number): void {
    this.cut(a, b, forMs);
    this.cut(b, a, forMs);
  }

  healAll(): void {
    this.#cuts.clear();
    this.isLossy = false;
    this.#resume();
  }

  /** Ends all streams between two machines at once, as a reset does. */
  reset(a: string, b: string): void {
    for (const side of [...this.#sides]) if (touches(side, a, b)) side.break('connection reset');
  }

  /** The process has died: its machine closes its streams, or is gone as well. */
  died(process: SimProcess, isMachineGone: boolean): void {
    if (isMachineGone) {
      this.#gone.add(process.node);
      this.#keepalive((side) => this.#gone.has(process.node) && isOf(side, process));
      return;
    }
    for (const side of [...this.#sides])
      if (side.process === process) side.close('its process ended');
  }

  /** The machine is back; it knows nothing of earlier streams. */
  back(node: string): void {
    if (!this.#gone.delete(node)) return;
    for (const side of [...this.#sides])
      if (!side.process.isAlive || !side.other.process.isAlive) side.break('connection reset');
  }

  /** The process stands still: it answers no ping. */
  froze(process: SimProcess): void {
    this.#keepalive((side) => process.isFrozen && isOf(side, process));
  }

  /** Streams that are open at one end at least. */
  get openSides(): number {
    return this.#sides.size;
  }

  forget(side: Side): void {
    this.#sides.delete(side);
  }

  #connect(from: SimProcess, to: SimProcess): [Side, Side] {
    const client = new Side(this, from);
    const server = new Side(this, to);
    [client.other, server.other] = [server, client];
    this.#sides.add(client).add(server);
    return [client, server];
  }

  /** Breaks, after the time of a keepalive, the streams for which `isDead` has held throughout. */
  #keepalive(isDead: (side: Side) => boolean): void {
    const suspects = [...this.#sides].filter(isDead);
    if (suspects.length === 0) return;
    let isHealed = false;
    const look = (left: number): void => {
      isHealed ||= !suspects.some(isDead);
      if (left > 0 && !isHealed) return this.clock.after(keepaliveMs / 6, () => look(left - 1));
      if (!isHealed) for (const side of suspects) side.break('keepalive timeout');
    };
    look(6);
  }

  #resume(): void {
    for (const side of [...this.#sides])
      if (!this.isCut(side.process.node, side.other.process.node)) side.resume();
  }
}

function isOf(side: Side, process: SimProcess): boolean {
  return side.process === process || side.other.process === process;
}

function touches(side: Side, a: string, b: string): boolean {
  const [from, to] = [side.process.node, side.other.process.node];
  return (from === a && to === b) || (from === b && to === a);
}
