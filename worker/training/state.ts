// This worker's state: where it comes from when a world begins (it has it, reads it, or a peer
// sends it), and how it is sent to peers that are behind. It is replaced as a whole or not at all.

import { readStartingWeights } from '../../inference/starting-weights.js';
import { stateDigest } from '../../shared/checkpoint/digests.js';
import { isManifest, readManifest, readState } from '../../shared/checkpoint/read.js';
import {
  bytesOf,
  copyState,
  createState,
  readBytes,
  vectorsInOrder,
  writeBytes,
  type TrainingState,
} from '../../shared/checkpoint/state.js';
import type { NetworkSpec } from '../../shared/layout.js';
import { OperatorError } from '../../shared/problems.js';
import type { RunSpec } from '../../shared/spec/schema.js';
import type { StoreOptions } from '../../shared/store/open-store.js';
import type { ObjectStore } from '../../shared/store/store.js';
import type { Step } from '../../shared/words.js';
import type { Task } from '../../task/task.js';
import type { StateHeader, ToCompute } from '../network/ports.js';
import { Aborted, orAborted } from './failure.js';
import type { SendToNetwork } from './prepare.js';

/** The order to enter a world. */
export type EnterOrder = ToCompute & { readonly kind: 'enter' };

type PeerMessage = Extract<ToCompute, { kind: 'serveState' | 'serveMore' }>;
type FetchMessage = Extract<ToCompute, { kind: 'stateHeader' | 'stateChunk' | 'stateFailed' }>;

/** Peers' requests that are served at a time; a further one takes the oldest one's place. */
const maxRequests = 64;

/** The state of this worker. */
export class LocalState {
  /** Its vectors stay the same objects; steps are committed right into them. */
  readonly state: TrainingState;
  readonly #vectors: readonly Float32Array[];
  #hasState = false;
  #fetch: StateFetch | undefined;
  #isChanging = false;
  /** Of the state as it is since the last change. */
  #digest: string | undefined;
  /** Requests that were sent the header of the state as it is. */
  readonly #served = new Set<number>();

  /** `open` gives the state of a step that no worker has, in memory of its own. */
  constructor(
    readonly networks: readonly NetworkSpec[],
    private readonly open: (step: Step) => Promise<TrainingState>,
    private readonly send: SendToNetwork,
  ) {
    this.state = createState(networks);
    this.#vectors = vectorsInOrder(networks, this.state);
  }

  /** False until the first world: until then the memory is there but means nothing. */
  get hasState(): boolean {
    return this.#hasState;
  }

  /**
   * Takes the state of a world's first step. Resolves with why it can't be had, which is no fault
   * of this worker; rejects with what is one, or when the signal is aborted.
   */
  async take(order: EnterOrder, signal: AbortSignal): Promise<string | undefined> {
    if (order.source === 'own') return this.#requireStep(order.step);
    try {
      const taken =
        order.source === 'peer'
          ? await this.#fetchFromPeer(order, signal)
          : await orAborted(signal, this.open(order.step));
      this.#beginChange();
      copyState(taken, this.state);
      this.#hasState = true;
      this.#isChanging = false;
      return undefined;
    } catch (error) {
      const isFault = error instanceof Aborted || error instanceof OperatorError;
      if (isFault || !(error instanceof Error)) throw error;
      return error.message;
    }
  }

  /** Does work that changes the state; meanwhile no peer is sent it. */
  async whileChanging(work: () => Promise<void>): Promise<void> {
    this.#beginChange();
    try {
      await work();
    } finally {
      this.#isChanging = false;
    }
  }

  /** An answer to fetchState; dropped when nothing is being fetched. */
  onFetched(message: FetchMessage): void {
    this.#fetch?.onMessage(message);
  }

  /** A peer's request, answered with servedHeader, servedChunk or serveRefused. */
  onPeer(message: PeerMessage): void {
    const { request } = message;
    if (message.kind === 'serveState') {
      const refusal = this.#refusal(message.step);
      return refusal === undefined ? this.#serve(request) : this.#refuse(request, refusal);
    }
    if (!this.#served.has(request)) return this.#refuse(request, 'its state has changed since');
    const bytes = readBytes(this.#vectors, message.offset, message.maxBytes);
    if (message.offset + bytes.length >= bytesOf(this.#vectors)) this.#served.delete(request);
    this.send({ kind: 'servedChunk', request, bytes }, [bytes.buffer]);
  }

  /** A world that takes this worker for another than it is would be a bug. */
  #requireStep(step: Step): undefined {
    if (this.#hasState && this.state.step === step) return;
    const has = this.#hasState ? `is of step ${this.state.step}` : 'is none';
    throw new Error(`the own state of step ${step} is due, but there ${has}`);
  }

  async #fetchFromPeer(order: EnterOrder, signal: AbortSignal): Promise<TrainingState> {
    const { generation, donor, step } = order;
    const onChunk = (): void => this.send({ kind: 'stateTaken' });
    this.#fetch = new StateFetch(this.networks, step, onChunk);
    this.send({ kind: 'fetchState', generation, donor, step });
    try {
      return await orAborted(signal, this.#fetch.state);
    } catch (error) {
      this.send({ kind: 'dropState' });
      throw error;
    } finally {
      this.#fetch = undefined;
    }
  }

  #beginChange(): void {
    this.#isChanging = true;
    this.#served.clear();
    this.#digest = undefined;
  }

  #refusal(step: Step): string | undefined {
    if (!this.#hasState) return 'it has no state';
    if (this.#isChanging) return 'it is training';
    return this.state.step === step ? undefined : `its state is of step ${this.state.step}`;
  }

  #refuse(request: number, reason: string): void {
    this.send({ kind: 'serveRefused', request, reason });
  }

  #serve(request: number): void {
    const [oldest] = this.#served;
    if (this.#served.size >= maxRequests) this.#served.delete(oldest);
    this.#served.add(request);
    const { networks, state } = this;
    const { step, skippedInARow } = state;
    const digest = (this.#digest ??= stateDigest(networks, state));
    const updates = Object.fromEntries(
      networks.map(({ name }) => [name, state.networks[name].updates]),
    );
    const header = { step, bytes: bytesOf(this.#vectors), digest, updates, skippedInARow };
    this.send({ kind: 'servedHeader', request, header });
  }
}

/**
 * A state that comes from a peer: put together beside the own one, and believed only when it is
 * whole and has the digest of its header.
 */
class StateFetch {
  /** The whole state; rejects with what was wrong. */
  readonly state: Promise<TrainingState>;
  #settle!: { resolve: (state: TrainingState) => void; reject: (error: unknown) => void };
  #staging: { header: StateHeader; state: TrainingState; offset: number } | undefined;

  /** `onChunk` is called after each chunk that was taken. */
  constructor(
    private readonly networks: readonly NetworkSpec[],
    private readonly step: Step,
    private readonly onChunk: () => void,
  ) {
    this.state = new Promise((resolve, reject) => (this.#settle = { resolve, reject }));
    // Nobody may be waiting any more when it fails.
    this.state.catch(() => undefined);
  }

  onMessage(message: FetchMessage): void {
    try {
      this.#take(message);
    } catch (error) {
      this.#settle.reject(error);
    }
  }

  #take(message: FetchMessage): void {
    if (message.kind === 'stateFailed') throw new Error(message.reason);
    if (message.kind === 'stateHeader') {
      const { header } = message;
      this.#staging = { header, state: stage(this.networks, this.step, header), offset: 0 };
    } else {
      if (this.#staging === undefined) throw new Error('a chunk of a state came before its header');
      const vectors = vectorsInOrder(this.networks, this.#staging.state);
      writeBytes(vectors, this.#staging.offset, message.bytes);
      this.#staging.offset += message.bytes.length;
      this.onChunk();
    }
    const { header, state, offset } = this.#staging;
    if (offset < header.bytes) return;
    if (stateDigest(this.networks, state) !== header.digest)
      throw new Error('the state that came has another digest than it should have');
    this.#settle.resolve(state);
  }
}

/** Memory for the state that a header announces; throws when it is not the one that is due. */
function stage(networks: readonly NetworkSpec[], step: Step, header: StateHeader): TrainingState {
  if (header.step !== step) throw new Error(`a state of step ${header.step} came, not of ${step}`);
  const state = createState(networks);
  const bytes = bytesOf(vectorsInOrder(networks, state));
  if (header.bytes !== bytes)
    throw new Error(`a state of ${header.bytes} bytes came, ${bytes} are due`);
  for (const { name } of networks) {
    const updates = header.updates[name];
    if (updates === undefined) throw new Error(`the updates of ${name} are missing`);
    state.networks[name].updates = updates;
  }
  state.step = step;
  state.skippedInARow = header.skippedInARow;
  return state;
}

/**
 * The state at `step`, in memory of its own: from the checkpoint; at step 0 from the seed, and the
 * generator from the weights that the spec names, if any.
 */
export async function openState(
  task: Task,
  spec: RunSpec,
  store: ObjectStore,
  step: Step,
  storeOptions: StoreOptions = {},
): Promise<TrainingState> {
  if (step === 0) return startState(task, spec, storeOptions);
  const manifest = await readManifest(store, step);
  if (!isManifest(manifest)) throw new Error(`checkpoint of step ${step}: ${manifest.text}`);
  return readState(store, manifest, task.networks);
}

async function startState(
  task: Task,
  spec: RunSpec,
  storeOptions: StoreOptions,
): Promise<TrainingState> {
  const { seed, init } = spec;
  const weights = init && (await readStartingWeights(spec, init, storeOptions));
  const state = createState(task.networks);
  for (const { name, isAveraged } of task.networks) {
    const start = name === task.inference.network ? weights : undefined;
    const { parameters, statistics, average } = state.networks[name];
    parameters.set(start?.parameters ?? task.initialParameters(name, seed));
    statistics.set(start?.statistics ?? task.initialStatistics(name));
    if (isAveraged === true) average.set(parameters);
  }
  return state;
}

/**
 * Flips one bit of a parameter, as broken memory would (lockstep chaos): of one that is not zero,
 * and a bit that later updates don't round away.
 */
export function flipBit({ networks, state }: LocalState): void {
  const { parameters } = state.networks[networks[0].name];
  const index = Math.max(
    0,
    parameters.findIndex((value) => value !== 0),
  );
  const topOfMantissa = 1 << 22;
  new Uint32Array(parameters.buffer, parameters.byteOffset, parameters.length)[index] ^=
    topOfMantissa;
}
