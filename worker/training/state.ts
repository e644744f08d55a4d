// This worker's state, whose values its engine keeps: where it comes from when a world begins (it
// has it, reads it, or a peer sends it), and how it is sent to peers that are behind. It is
// replaced as a whole or not at all.

import { readStartingWeights } from '../../inference/starting-weights.js';
import { stateDigest } from '../../shared/checkpoint/digests.js';
import { isManifest, readManifest, readState } from '../../shared/checkpoint/read.js';
import {
  bytesOf,
  countersOf,
  createState,
  readBytes,
  stateOf,
  vectorPlaces,
  vectorsInOrder,
  writeBytes,
  type Counters,
  type NetworkVectors,
  type TrainingState,
} from '../../shared/checkpoint/state.js';
import type { NetworkSpec } from '../../shared/layout.js';
import { OperatorError } from '../../shared/problems.js';
import type { RunSpec } from '../../shared/spec/schema.js';
import type { StoreOptions } from '../../shared/store/open-store.js';
import type { ObjectStore } from '../../shared/store/store.js';
import type { Step } from '../../shared/words.js';
import type { Task } from '../../task/task.js';
import type { EngineState } from '../engine/engine.js';
import type { StateHeader, ToCompute } from '../network/ports.js';
import { Aborted, orAborted } from './failure.js';
import type { SendToNetwork } from './prepare.js';

/** The order to enter a world. */
export type EnterOrder = ToCompute & { readonly kind: 'enter' };

type PeerMessage = Extract<ToCompute, { kind: 'serveState' | 'serveMore' }>;
type FetchMessage = Extract<ToCompute, { kind: 'stateHeader' | 'stateChunk' | 'stateFailed' }>;

/** Peers' requests that are served at a time; a further one takes the oldest one's place. */
const maxRequests = 64;

/** The state as it stands between two changes, read for peers. */
interface Standing {
  readonly vectors: readonly Float32Array[];
  readonly header: StateHeader;
}

/** What a network is used with, for samples and evaluation. */
export interface GeneratorValues {
  readonly parameters: Float32Array;
  readonly statistics: Float32Array;
}

/** The state of this worker. */
export class LocalState {
  /** What is counted of the state; each commit has counters of its own. */
  counters: Counters = { step: 0, skippedInARow: 0, updates: {} };
  #hasState = false;
  #fetch: StateFetch | undefined;
  #isChanging = false;
  #isToFlip = false;
  /** Of the state since the last change, from the first request on. */
  #standing: Promise<Standing> | undefined;
  /** Requests that are served from it. */
  readonly #served = new Set<number>();

  /** `open` gives the state of a step that no worker has, in memory of its own. */
  constructor(
    readonly networks: readonly NetworkSpec[],
    readonly engineState: EngineState,
    private readonly open: (step: Step) => Promise<TrainingState>,
    private readonly send: SendToNetwork,
  ) {}

  /** False until the first world: until then the memory is there but means nothing. */
  get hasState(): boolean {
    return this.#hasState;
  }

  /** The whole state, to be read only, and valid until it changes. */
  async read(): Promise<TrainingState> {
    return stateOf(this.counters, await this.engineState.read());
  }

  /** A network's values as it is used, to be read only, and valid until they change. */
  async readForUse(network: string): Promise<GeneratorValues> {
    const places = vectorPlaces(this.networks).filter((place) => place.network === network);
    const read = async (wanted: keyof NetworkVectors): Promise<Float32Array> => {
      const place = places.find(({ vector }) => vector === wanted);
      if (place === undefined) throw new Error(`no network ${network}`);
      const pieces = await this.engineState.readRange(place.start, place.end);
      return pieces.find(({ length }) => length > 0) ?? new Float32Array(0);
    };
    const average = await read('average');
    return {
      parameters: average.length > 0 ? average : await read('parameters'),
      statistics: await read('statistics'),
    };
  }

  /**
   * Takes the state of a world's first step. Resolves with why it can't be had, which is no fault
   * of this worker; rejects with what is one, or when the signal is aborted.
   */
  async take(order: EnterOrder, signal: AbortSignal): Promise<string | undefined> {
    if (order.source === 'own') return this.#requireStep(order.step);
    const taken = await this.#obtain(order, signal);
    if (typeof taken === 'string') return taken;
    await this.whileChanging(async () => {
      await this.engineState.write(taken.networks);
      this.counters = countersOf(taken);
      this.#hasState = true;
    });
    signal.throwIfAborted();
    return undefined;
  }

  /** Does work that changes the state; meanwhile no peer is sent it. */
  async whileChanging(work: () => Promise<void>): Promise<void> {
    this.#isChanging = true;
    this.#served.clear();
    const standing = this.#standing;
    this.#standing = undefined;
    try {
      // What is being read is valid to its end.
      await standing;
      await work();
    } finally {
      this.#isChanging = false;
    }
  }

  /** An answer to fetchState; dropped when nothing is being fetched. */
  onFetched(message: FetchMessage): void {
    this.#fetch?.onMessage(message);
  }

  /**
   * A peer's request, answered with servedHeader, servedChunk or serveRefused; rejects when the
   * state can't be read.
   */
  async onPeer(message: PeerMessage): Promise<void> {
    const { request } = message;
    if (message.kind === 'serveState') {
      const refusal = this.#refusal(message.step);
      if (refusal !== undefined) return this.#refuse(request, refusal);
      this.#admit(request);
    }
    const standing = this.#served.has(request) ? await this.#stand() : undefined;
    // It may have changed while it was read.
    if (standing === undefined || !this.#served.has(request))
      return this.#refuse(request, 'its state has changed since');
    const { header, vectors } = standing;
    if (message.kind === 'serveState') return this.send({ kind: 'servedHeader', request, header });
    const bytes = readBytes(vectors, message.offset, message.maxBytes);
    if (message.offset + bytes.length >= header.bytes) this.#served.delete(request);
    this.send({ kind: 'servedChunk', request, bytes }, [bytes.buffer]);
  }

  /**
   * Asks for one bit of a parameter to be flipped after the next step, as broken memory would do it
   * (lockstep chaos).
   */
  askForFlip(): void {
    this.#isToFlip = true;
  }

  /** Flips the bit that was asked for, if any; between two steps only. */
  async flipIfAsked(): Promise<void> {
    if (!this.#isToFlip) return;
    this.#isToFlip = false;
    const vectors = await this.engineState.read();
    const [{ name }] = this.networks;
    const parameters = withFlippedBit(vectors[name].parameters);
    await this.engineState.write({ ...vectors, [name]: { ...vectors[name], parameters } });
  }

  /** A world that takes this worker for another than it is would be a bug. */
  #requireStep(step: Step): undefined {
    const { step: own } = this.counters;
    if (this.#hasState && own === step) return;
    const has = this.#hasState ? `is of step ${own}` : 'is none';
    throw new Error(`the own state of step ${step} is due, but there ${has}`);
  }

  /** The state that is to be taken, or why it can't be had. */
  async #obtain(order: EnterOrder, signal: AbortSignal): Promise<TrainingState | string> {
    try {
      return order.source === 'peer'
        ? await this.#fetchFromPeer(order, signal)
        : await orAborted(signal, this.open(order.step));
    } catch (error) {
      const isFault = error instanceof Aborted || error instanceof OperatorError;
      if (isFault || !(error instanceof Error)) throw error;
      return error.message;
    }
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

  #refusal(step: Step): string | undefined {
    if (!this.#hasState) return 'it has no state';
    if (this.#isChanging) return 'it is training';
    const { step: own } = this.counters;
    return own === step ? undefined : `its state is of step ${own}`;
  }

  #refuse(request: number, reason: string): void {
    this.send({ kind: 'serveRefused', request, reason });
  }

  #admit(request: number): void {
    const [oldest] = this.#served;
    if (this.#served.size >= maxRequests) this.#served.delete(oldest);
    this.#served.add(request);
  }

  #stand(): Promise<Standing> {
    return (this.#standing ??= this.#readStanding());
  }

  async #readStanding(): Promise<Standing> {
    const { networks, counters } = this;
    const state = await this.read();
    const vectors = vectorsInOrder(networks, state);
    const header = {
      ...counters,
      updates: countersOf(state).updates,
      bytes: bytesOf(vectors),
      digest: stateDigest(networks, state),
    };
    return { vectors, header };
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

/** A copy with another bit in a value that is not zero: one that updates don't round away. */
function withFlippedBit(values: Float32Array): Float32Array {
  const flipped = values.slice();
  const index = Math.max(
    0,
    values.findIndex((value) => value !== 0),
  );
  const topOfMantissa = 1 << 22;
  new Uint32Array(flipped.buffer)[index] ^= topOfMantissa;
  return flipped;
}
