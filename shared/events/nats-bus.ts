// The event bus on NATS JetStream: events wait in a bounded queue and are published in order, one
// at a time, through losses of the server, none missing and none doubled. The run never waits for
// it and never fails by it.

import {
  encodeCloudEvent,
  kindOfEvent,
  subjectOf,
  type BusHealth,
  type CloudEvent,
  type EventBus,
} from './bus.js';
import { createEventQueue, type QueuedEvent, type QueueLimits } from './event-queue.js';
import {
  isRefusedForGood,
  messageIdOf,
  openEventConnection,
  reasonOfFailure,
  serverRefusal,
  type EventConnection,
} from './nats-connection.js';
import { parseNatsUrl, type NatsAddress, type NatsLocation } from './nats-url.js';

export interface NatsBusOptions extends NatsAddress {
  readonly run: string;
  /**
   * When the run was made: a later run of the same name has the same ids of events, and none of
   * them is to be dropped as known, nor read as one of this run.
   */
  readonly madeAt?: string;
  /** One line when the server goes away, one when it is back, and what was lost. */
  readonly onNotice: (text: string) => void;
  readonly limits?: QueueLimits;
}

const firstWaitMs = 100;
const longestWaitMs = 5_000;
/** Longest flush into a bus that nobody has seen: most likely its url is wrong. */
const neverThereFlushMs = 1_000;
/** After so many failed publishes in a row the connection is given up for a new one. */
const failuresOfConnection = 3;
/** Refusals that are kept in mind, so as not to be said again. */
const maxSaidReasons = 64;

/**
 * Creates the bus and starts connecting; returns at once. Throws an OperatorError for an address
 * that is none.
 */
export function createNatsBus(options: NatsBusOptions): EventBus {
  return new NatsBus(options, parseNatsUrl(options.url, undefined, options.login));
}

class NatsBus implements EventBus {
  readonly #options: NatsBusOptions;
  readonly #location: NatsLocation;
  /** A subject of this run, to find the stream by. */
  readonly #probe: string;
  readonly #queue;
  readonly #done: Promise<void>;
  #connection: EventConnection | undefined;
  #isClosed = false;
  #isAway = false;
  #wasThere = false;
  /** Of the first event, when a try to publish it failed: it may be stored all the same. */
  #isDoubtful = false;
  readonly #saidReasons = new Set<string>();
  #dropped = { metrics: 0, others: 0 };
  #droppedInAll = 0;
  #wake = (): void => undefined;
  #emptied: (() => void)[] = [];

  constructor(options: NatsBusOptions, location: NatsLocation) {
    this.#options = options;
    this.#location = location;
    this.#probe = subjectOf(options.run, 'run');
    this.#queue = createEventQueue(options.limits);
    this.#done = this.#live();
  }

  publish(event: CloudEvent): void {
    if (this.#isClosed) return;
    let queued: QueuedEvent;
    try {
      queued = this.#encode(event);
    } catch (error) {
      this.#options.onNotice(`event ${event.id} can't be written: ${(error as Error).message}`);
      return;
    }
    const dropped = this.#queue.push(queued);
    this.#droppedInAll += dropped.length;
    for (const { kind, id } of dropped) this.#reportDropped(kind === 'step', id);
    this.#wake();
  }

  #encode(event: CloudEvent): QueuedEvent {
    const kind = kindOfEvent(event.type);
    const { run, madeAt } = this.#options;
    const id = messageIdOf(event, madeAt);
    return { kind, id, subject: subjectOf(run, event.type), body: encodeCloudEvent(event) };
  }

  async flush(timeoutMs: number): Promise<number> {
    if (this.#queue.length > 0 && !this.#isClosed)
      await new Promise<void>((resolve) => {
        const limitMs = this.#wasThere ? timeoutMs : Math.min(timeoutMs, neverThereFlushMs);
        const timer = setTimeout(resolve, limitMs);
        this.#emptied.push(() => {
          clearTimeout(timer);
          resolve();
        });
      });
    return this.#queue.length;
  }

  health(): BusHealth {
    return { waiting: this.#queue.length, dropped: this.#droppedInAll };
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    this.#wake();
    await this.#connection?.close();
    await this.#done;
    this.#resolveFlushes();
  }

  // Connect, publish until the connection is lost, wait, and again.
  async #live(): Promise<void> {
    let waitMs = firstWaitMs;
    while (!this.#isClosed) {
      try {
        this.#connection = await openEventConnection(this.#location, this.#probe);
        if (this.#isClosed) break;
        this.#wasThere = true;
        waitMs = firstWaitMs;
        await this.#publishUntilLost(this.#connection);
      } catch (error) {
        this.#reportFailure(error);
      }
      await this.#connection?.close();
      this.#connection = undefined;
      await this.#pause(waitMs * (0.5 + Math.random() / 2));
      waitMs = Math.min(longestWaitMs, waitMs * 2);
    }
    await this.#connection?.close();
  }

  async #publishUntilLost(connection: EventConnection): Promise<void> {
    let isLost = false;
    void connection.lost.then(() => {
      isLost = true;
      if (!this.#isClosed) this.#reportAway('the connection was lost');
      this.#wake();
    });
    let failures = 0;
    while (!isLost && !this.#isClosed) {
      const event = this.#queue.first();
      if (event === undefined) {
        this.#reportBack();
        this.#resolveFlushes();
        await this.#pause();
        continue;
      }
      try {
        // The server's own window of message ids may be shorter than it was away.
        const isStored = this.#isDoubtful && (await connection.isNewest(event));
        if (!isStored) await connection.publish(event);
        this.#queue.taken();
        this.#isDoubtful = false;
        failures = 0;
        this.#reportBack();
      } catch (error) {
        if (isRefusedForGood(error)) {
          this.#queue.taken();
          this.#droppedInAll += 1;
          this.#reportOnce(`event ${event.id} is lost`, reasonOfFailure(error));
          continue;
        }
        this.#isDoubtful = true;
        this.#reportFailure(error);
        if (++failures >= failuresOfConnection) return;
        if (!isLost) await this.#pause(firstWaitMs * 2 ** failures);
      }
    }
  }

  /** Waits for `ms`, or without one for the next event; ends early when something happens. */
  async #pause(ms?: number): Promise<void> {
    if (this.#isClosed) return;
    await new Promise<void>((resolve) => {
      const timer = ms === undefined ? undefined : setTimeout(resolve, ms);
      this.#wake = () => {
        if (ms !== undefined && !this.#isClosed) return;
        clearTimeout(timer);
        resolve();
      };
    });
    this.#wake = () => undefined;
  }

  #resolveFlushes(): void {
    const waiting = this.#emptied;
    this.#emptied = [];
    for (const resolve of waiting) resolve();
  }

  #reportFailure(error: unknown): void {
    const refusal = serverRefusal(error);
    if (refusal === undefined) return this.#reportAway(reasonOfFailure(error));
    if (this.#reportOnce('events wait and the run goes on', refusal)) this.#isAway = true;
  }

  /** What the server refuses is said once, however often it is tried again. */
  #reportOnce(outcome: string, reason: string): boolean {
    if (this.#saidReasons.has(reason) || this.#isClosed) return false;
    if (this.#saidReasons.size < maxSaidReasons) this.#saidReasons.add(reason);
    this.#options.onNotice(`event bus ${this.#location.shown} refuses: ${reason}; ${outcome}`);
    return true;
  }

  #reportAway(reason: string): void {
    if (this.#isAway || this.#isClosed) return;
    this.#isAway = true;
    const { shown } = this.#location;
    this.#options.onNotice(
      `event bus ${shown} is away: ${reason}; events wait and the run goes on`,
    );
  }

  #reportBack(): void {
    if (!this.#isAway || this.#isClosed) return;
    this.#isAway = false;
    const waiting = this.#queue.length;
    const { metrics } = this.#dropped;
    const lost = metrics === 0 ? '' : `; ${metrics} step events were dropped`;
    this.#dropped.metrics = 0;
    this.#options.onNotice(
      `event bus ${this.#location.shown} is back: ${waiting} events follow${lost}`,
    );
  }

  #reportDropped(isMetric: boolean, id: string): void {
    if (isMetric) {
      if (this.#dropped.metrics++ === 0)
        this.#options.onNotice('event queue is full: the oldest step events are dropped');
      return;
    }
    this.#dropped.others++;
    this.#options.onNotice(`event queue is full: event ${id} is lost`);
  }
}
