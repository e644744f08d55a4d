// The lease in a NATS key-value bucket whose entries expire: taken by creating the entry, kept by
// updating it. While NATS is away nobody can take the lease, so its holder keeps it until it sees
// somebody else's entry.

import { randomUUID } from 'node:crypto';
import { setTimeout as pause } from 'node:timers/promises';
import { connect, NatsError, type KV, type NatsConnection } from 'nats';
import { reasonOfFailure } from '../../shared/events/nats-connection.js';
import {
  parseNatsUrl,
  reachNats,
  type NatsAddress,
  type NatsLocation,
} from '../../shared/events/nats-url.js';
import type { Lease } from './lease.js';
import { parseJson } from '../../shared/bounded-json.js';

export interface NatsLeaseOptions extends NatsAddress {
  /** See `leaseKey`. */
  readonly key: string;
  /** Who we are, for the others' messages: "pid 12 on host". */
  readonly holder: string;
  /** One line when another holds the lease, or NATS goes away or is back. */
  readonly onNotice: (text: string) => void;
}

const bucket = 'lockstep-leases';

/** An entry that was not renewed for so long is gone. */
const ttlMs = 6_000;
const renewMs = 2_000;
/** How often those that wait try to take it. */
const pollMs = 1_000;
/** Longest wait for an answer of NATS. */
const timeoutMs = 2_000;
const wrongSequence = 10071;

/** Creates the lease of one coordinator; nothing is connected yet. */
export function createNatsLease(options: NatsLeaseOptions): Lease {
  return new NatsLease(options, parseNatsUrl(options.url, undefined, options.login));
}

interface Entry {
  readonly isOurs: boolean;
  readonly holder: string;
  /** It was left behind by one that has ended the run well. */
  readonly isFinished: boolean;
  readonly revision: number;
}

class NatsLease implements Lease {
  readonly #options: NatsLeaseOptions;
  readonly #location: NatsLocation;
  readonly #id = randomUUID();
  readonly #body: Uint8Array;
  readonly #stopped = new AbortController();
  #connection: NatsConnection | undefined;
  #bucket: KV | undefined;
  /** Of our entry; undefined when we don't hold the lease. */
  #revision: number | undefined;
  #keeping: Promise<void> | undefined;
  #listeners: ((reason: string) => void)[] = [];
  #isAway = false;
  #toldHolder = '';
  #saysFinished = false;

  constructor(options: NatsLeaseOptions, location: NatsLocation) {
    this.#options = options;
    this.#location = location;
    this.#body = Buffer.from(JSON.stringify({ id: this.#id, holder: options.holder }));
  }

  onLost(listener: (reason: string) => void): void {
    this.#listeners.push(listener);
  }

  get saysFinished(): boolean {
    return this.#saysFinished;
  }

  async acquire(signal: AbortSignal): Promise<void> {
    const either = AbortSignal.any([signal, this.#stopped.signal]);
    for (;;) {
      either.throwIfAborted();
      const entry = await this.#attempt((kv) => this.#takeOver(kv));
      if (entry?.isOurs === true) {
        this.#revision = entry.revision;
        this.#keeping = this.#keep();
        return;
      }
      if (entry !== undefined) this.#tellHolder(entry.holder);
      await pause(pollMs, undefined, { signal: either }).catch(() => undefined);
    }
  }

  async release(isFinished = false): Promise<void> {
    this.#stopped.abort(new Error('the lease was released'));
    await this.#keeping;
    const revision = this.#revision;
    this.#revision = undefined;
    // Without a connection the entry just expires.
    if (revision !== undefined && this.#bucket !== undefined)
      await this.#leave(this.#bucket, revision, isFinished).catch(() => undefined);
    await this.#disconnect();
  }

  /** The word that the run is finished lives as long as any entry: those that wait look often. */
  async #leave(kv: KV, revision: number, isFinished: boolean): Promise<void> {
    const { key, holder } = this.#options;
    if (!isFinished) return kv.delete(key, { previousSeq: revision });
    const body = JSON.stringify({ id: this.#id, holder, isFinished });
    await kv.update(key, Buffer.from(body), revision);
  }

  /** Takes it when there is none, or from one that has ended the run. */
  async #takeOver(kv: KV): Promise<Entry | undefined> {
    const entry = await this.#take(kv);
    if (entry === undefined || entry.isOurs || !entry.isFinished) return entry;
    try {
      const revision = await kv.update(this.#options.key, this.#body, entry.revision);
      this.#saysFinished = true;
      return this.#ours(revision);
    } catch (error) {
      if (!isConflict(error)) throw error;
      return undefined;
    }
  }

  /** Renews the entry until the lease is given up or lost. */
  async #keep(): Promise<void> {
    const { signal } = this.#stopped;
    while (!signal.aborted && this.#revision !== undefined) {
      await pause(renewMs, undefined, { signal }).catch(() => undefined);
      if (signal.aborted) return;
      const revision = this.#revision;
      const entry = await this.#attempt((kv) => this.#renew(kv, revision));
      if (entry === undefined) continue;
      this.#revision = entry.isOurs ? entry.revision : undefined;
      if (!entry.isOurs)
        for (const listener of this.#listeners) listener(`${entry.holder} holds it`);
    }
  }

  async #renew(kv: KV, revision: number): Promise<Entry | undefined> {
    try {
      return this.#ours(await kv.update(this.#options.key, this.#body, revision));
    } catch (error) {
      if (!isConflict(error)) throw error;
      // Expired while NATS was away, or taken by another, or an update whose answer was lost.
      return this.#take(kv);
    }
  }

  /** Creates the entry; when there is one, says whose. Undefined when it went just now. */
  async #take(kv: KV): Promise<Entry | undefined> {
    try {
      return this.#ours(await kv.create(this.#options.key, this.#body));
    } catch (error) {
      if (!isConflict(error)) throw error;
    }
    const found = await kv.get(this.#options.key);
    if (found === null || found.operation !== 'PUT') return undefined;
    const { id, holder, isFinished } = readBody(found.string());
    return { isOurs: id === this.#id, holder, isFinished, revision: found.revision };
  }

  #ours(revision: number): Entry {
    return { isOurs: true, holder: this.#options.holder, isFinished: false, revision };
  }

  /** Calls `use` with the bucket; undefined when NATS is away, after which we connect anew. */
  async #attempt<T>(use: (kv: KV) => Promise<T>): Promise<T | undefined> {
    try {
      const result = await use(await this.#open());
      if (this.#isAway) this.#options.onNotice('NATS is back');
      this.#isAway = false;
      return result;
    } catch (error) {
      const reason = reasonOfFailure(error);
      if (!this.#isAway) this.#options.onNotice(`NATS is away, and the run's lease: ${reason}`);
      this.#isAway = true;
      await this.#disconnect();
      return undefined;
    }
  }

  async #open(): Promise<KV> {
    if (this.#bucket !== undefined) return this.#bucket;
    this.#connection = await connect({
      ...reachNats(this.#location),
      name: 'lockstep-lease',
      reconnect: false,
      timeout: timeoutMs,
      pingInterval: renewMs,
      maxPingOut: 2,
    });
    const stream = this.#connection.jetstream({ timeout: timeoutMs });
    this.#bucket = await stream.views.kv(bucket, { ttl: ttlMs, history: 1, timeout: timeoutMs });
    return this.#bucket;
  }

  async #disconnect(): Promise<void> {
    const connection = this.#connection;
    this.#connection = undefined;
    this.#bucket = undefined;
    await connection?.close().catch(() => undefined);
  }

  #tellHolder(holder: string): void {
    if (holder === this.#toldHolder) return;
    this.#toldHolder = holder;
    this.#options.onNotice(`the run is led by ${holder}: standing by`);
  }
}

function isConflict(error: unknown): boolean {
  return error instanceof NatsError && error.api_error?.err_code === wrongSequence;
}

/** Anything may have been written there: what is not ours is another's. */
function readBody(text: string): Pick<Entry, 'holder' | 'isFinished'> & { readonly id: string } {
  try {
    const { id, holder, isFinished } = parseJson(text.slice(0, 4096)) as Record<string, unknown>;
    const named = { id: String(id), holder: String(holder).slice(0, 300) };
    return { ...named, isFinished: isFinished === true };
  } catch {
    return { id: '', holder: 'an unknown coordinator', isFinished: false };
  }
}
