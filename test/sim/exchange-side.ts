// A simulated worker's exchange: admits or refuses the peers that knock, keeps one world at a
// time, and hands states over to peers that ask for them.

import { admit } from '../../worker/exchange/admission.js';
import type { ExchangeWorld } from '../../worker/exchange/exchange.js';
import type { Hello } from '../../worker/exchange/wire.js';
import {
  ExchangeSession,
  type Request,
  type ServerSide,
  type SessionPorts,
  type Vectors,
} from './exchange-session.js';
import type { Network, Side } from './network.js';
import type { SimProcess } from './process.js';

/** How long a stream may wait for a world of this worker that it belongs to. */
const heldMs = 10_000;

interface Visitor {
  readonly side: ServerSide;
  readonly hello: Hello;
}

export interface ExchangeEvents {
  onJoined(generation: number): void;
  onReduced(generation: number, step: number): void;
  onPeerLost(generation: number, worker: string, reason: string): void;
  /** A peer asks for the state. */
  onStateAsked(side: Side, generation: number, step: number): void;
}

/** A peer asks for a state on a stream of its own. */
export interface StateRequest {
  readonly kind: 'state';
  readonly generation: number;
  readonly step: number;
}

export class ExchangeSide {
  readonly #process: SimProcess;
  readonly #network: Network;
  readonly #events: ExchangeEvents;
  readonly #windowChunks: number;
  readonly #visitors = new Set<Visitor>();
  #session: ExchangeSession | undefined;

  constructor(process: SimProcess, network: Network, windowChunks: number, events: ExchangeEvents) {
    this.#process = process;
    this.#network = network;
    this.#windowChunks = windowChunks;
    this.#events = events;
  }

  /** Streams that wait for a world. */
  get held(): number {
    return this.#visitors.size;
  }

  join(world: ExchangeWorld, vectors: Vectors): void {
    this.#session?.close(`left for generation ${world.world.generation}`);
    const { generation } = world.world;
    const ports: SessionPorts = {
      process: this.#process,
      dial: (address, done) => this.#network.dial(this.#process, address, (side) => done(side)),
      onJoined: () => this.#events.onJoined(generation),
      onReduced: (step) => this.#events.onReduced(generation, step),
      onLost: (worker, reason) => this.#events.onPeerLost(generation, worker, reason),
    };
    this.#session = new ExchangeSession(world, vectors, this.#windowChunks, ports);
    for (const visitor of [...this.#visitors]) this.#admit(visitor);
    this.#session.join();
  }

  allReduce(step: number, floats: number): void {
    this.#session?.allReduce(step, floats);
  }

  /** A peer has connected; its first message says what it wants. */
  accept(side: Side): void {
    side.events = {
      onMessage: (message) => {
        const request = message as Request | StateRequest;
        if (request.kind === 'state')
          this.#events.onStateAsked(side, request.generation, request.step);
        else if (request.kind === 'hello') this.#visit(side, request.hello);
        else side.close('refused: asked before the welcome');
      },
      onClosed: () => undefined,
    };
  }

  #visit(side: ServerSide, hello: Hello): void {
    const visitor = { side, hello };
    this.#visitors.add(visitor);
    side.events = {
      onMessage: () => this.#refuse(visitor, 'asked before the welcome'),
      onClosed: () => void this.#visitors.delete(visitor),
    };
    this.#process.after(heldMs, () => {
      if (this.#visitors.has(visitor)) this.#refuse(visitor, 'did not join your world');
    });
    this.#admit(visitor);
  }

  #admit(visitor: Visitor): void {
    const ours = this.#session?.world;
    const admission = admit(visitor.hello, ours);
    if (admission.kind === 'hold') return;
    if (admission.kind === 'refuse') return this.#refuse(visitor, admission.reason);
    this.#visitors.delete(visitor);
    this.#session?.attach(admission.rank, visitor.side);
  }

  #refuse(visitor: Visitor, reason: string): void {
    this.#visitors.delete(visitor);
    visitor.side.close(`refused: ${reason}`);
  }
}
