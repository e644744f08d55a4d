// A simulated worker's session with the coordinator: one stream at a time, dialled anew at the
// next address whenever it ends.

import type { CoordinatorMessage, WorkerMessage } from '../../shared/control/messages.js';
import type { Dice } from './dice.js';
import type { Network, Side } from './network.js';
import type { SimProcess } from './process.js';

const firstBackoffMs = 100;
const lastBackoffMs = 1_000;
/** Who has not welcomed us after so long is given up. */
const welcomeMs = 5_000;

/** A coordinator's message, and the term of who sent it: for the oracles. */
export interface Told {
  readonly term: number;
  readonly message: CoordinatorMessage;
}

export interface EdgeEvents {
  onOpen(): void;
  onMessage(told: Told): void;
  onLost(reason: string): void;
}

/** Messages that are repeated until they have had their effect: they may get lost. */
export const repeated: ReadonlySet<string> = new Set([
  ...['status', 'world', 'connect', 'vote', 'abort', 'finish', 'checkpointed', 'digest'],
]);

export class ControlEdge {
  readonly #process: SimProcess;
  readonly #network: Network;
  readonly #dice: Dice;
  readonly #addresses: readonly string[];
  readonly #events: EdgeEvents;
  #index: number;
  #backoffMs = firstBackoffMs;
  #side: Side<WorkerMessage, Told> | undefined;
  #isClosed = false;

  constructor(
    process: SimProcess,
    network: Network,
    dice: Dice,
    addresses: readonly string[],
    events: EdgeEvents,
  ) {
    this.#process = process;
    this.#network = network;
    this.#dice = dice;
    this.#addresses = addresses;
    this.#events = events;
    this.#index = dice.integer(0, addresses.length - 1);
    this.#dial();
  }

  send(message: WorkerMessage): void {
    if (this.#network.isLossy && repeated.has(message.kind))
      this.#side?.sendLoosely(message, this.#dice);
    else this.#side?.send(message);
  }

  redial(reason: string): void {
    const side = this.#side;
    this.#side = undefined;
    side?.close(reason);
    this.#events.onLost(reason);
    this.#dialLater();
  }

  close(): void {
    this.#isClosed = true;
    this.#side?.close('left');
    this.#side = undefined;
  }

  #dialLater(): void {
    this.#index += 1;
    this.#process.after(this.#backoffMs * this.#dice.between(0.8, 1.2), () => this.#dial());
    this.#backoffMs = Math.min(lastBackoffMs, 2 * this.#backoffMs);
  }

  #dial(): void {
    if (this.#isClosed) return;
    const address = this.#addresses[this.#index % this.#addresses.length];
    this.#network.dial(this.#process, address, (result) => {
      if (typeof result === 'string') return this.#dialLater();
      if (this.#isClosed) return result.close('left');
      const side = result as Side<WorkerMessage, Told>;
      this.#side = side;
      let isWelcome = false;
      this.#process.after(welcomeMs, () => {
        if (this.#side === side && !isWelcome) this.redial('no welcome');
      });
      side.events = {
        onMessage: (told) => {
          isWelcome = true;
          this.#backoffMs = firstBackoffMs;
          if (this.#side === side) this.#events.onMessage(told);
        },
        onClosed: (reason) => {
          if (this.#side !== side) return;
          this.#side = undefined;
          this.#events.onLost(reason);
          this.#dialLater();
        },
      };
      this.#events.onOpen();
    });
  }
}
