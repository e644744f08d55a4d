// The compute thread of a simulated worker: takes states, computes micro-shards, applies reduced
// steps, stores shares of checkpoints. It keeps the contracts of worker/training/.

import type { StepReport } from '../../shared/control/messages.js';
import { shareOf } from '../../shared/plan/reduction.js';
import { isDue } from '../../shared/spec/schema.js';
import type { WorkerEffect } from '../../worker/core/state.js';
import type { ToCompute, ToNetwork } from '../../worker/network/ports.js';
import {
  parametersSum,
  partNames,
  partsOfShare,
  readCheckpoint,
  storePart,
} from './checkpoint-files.js';
import type { Fact, Who } from './facts.js';
import type { Dice } from './machines/dice.js';
import type { ObjectDisk } from './machines/disk.js';
import { waitFor, type SimProcess, type Task } from './machines/process.js';
import type { Place, Sabotage } from './sabotage.js';
import {
  applyStep,
  leafValue,
  seedState,
  type ChunkValue,
  type RunShape,
  type TrainingState,
} from './training-state.js';
import { SimVectors } from './machines/vectors.js';

/** How long things take; `slowness` changes while a worker is slow. */
export interface Pace {
  readonly prepareMs: number;
  readonly leafMs: number;
  readonly updateMs: number;
  slowness: number;
}

/** From the request for a chunk of a state to the answer. */
const stateChunkMs = 15;

export interface ComputeOptions {
  readonly process: SimProcess;
  readonly disk: ObjectDisk;
  readonly dice: Dice;
  readonly shape: RunShape;
  readonly pace: Pace;
  readonly who: Who;
  readonly sabotage: Sabotage;
  readonly observe: (fact: Fact) => void;
  readonly send: (message: ToNetwork) => void;
}

/** A state that is being taken from a peer. */
interface Taking {
  readonly chunks: Uint8Array[];
  missing: number;
  readonly resume: (result: TrainingState | string) => void;
}

interface Snapshot {
  readonly state: TrainingState;
  readonly share: number;
  readonly shares: number;
  readonly onStored: () => void;
}

export class ComputeSide {
  state: TrainingState | undefined;
  /** The state before the step committed last. */
  previous: TrainingState | undefined;
  readonly #options: ComputeOptions;
  #place: Place | undefined;
  readonly vectors: SimVectors;
  /** What was gathered of the step under way. */
  #factors: readonly number[] = [];
  /** Numbers pieces of work: a later one, or an abort, ends an earlier one. */
  #work = 0;
  #isTraining = false;
  #isAborted = false;
  #votes = false;
  #isFirstOfWorld = false;
  #onReduced: ((step: number | undefined) => void) | undefined;
  #awaitedStep = 0;
  #isReduced = false;
  #givenUpStep: number | undefined;
  #taking: Taking | undefined;
  /** The states that peers are being handed, by request. */
  readonly #served = new Map<number, TrainingState>();
  #storing: Snapshot | undefined;
  #waiting: Snapshot | undefined;

  constructor(options: ComputeOptions) {
    this.#options = options;
    this.vectors = new SimVectors(options.shape);
  }

  onMessage(message: ToCompute): void {
    switch (message.kind) {
      case 'prepare':
        return this.#options.process.spawn(this.#prepare());
      case 'enter':
        return this.#begin(this.#enter(message));
      case 'train':
        this.#isTraining = true;
        return this.#begin(this.#train(message.generation, message.until));
      case 'reduced':
        this.#isReduced = message.step === this.#awaitedStep;
        if (this.#isReduced) this.#onReduced?.(message.step);
        return;
      case 'gathered':
        if (message.step === this.#awaitedStep) this.#factors = this.vectors.factors(message.step);
        return;
      case 'voteStop':
        this.#votes = true;
        return;
      case 'abort':
        return this.#abort(message.generation);
      case 'finish':
        return this.#finish(message);
      case 'stateHeader':
        if (this.#taking !== undefined) this.#taking.missing = message.header.bytes;
        return;
      case 'stateChunk':
        return this.#take(message.bytes);
      case 'stateFailed':
        return this.#taken(message.reason);
      case 'serveState':
        return this.#serve(message.request, message.step);
      case 'serveMore':
        return this.#options.process.deliverAfter(stateChunkMs, () => this.#serveMore(message));
      default:
        return;
    }
  }

  #begin(task: Task): void {
    const number = ++this.#work;
    this.#isAborted = false;
    this.#options.process.spawn(task, () => number === this.#work);
  }

  *#prepare(): Task {
    const { process, pace, send } = this.#options;
    yield* process.sleep(pace.prepareMs);
    send({ kind: 'ready', fingerprint: 'sim' });
  }

  *#enter(order: WorkerEffect & { readonly kind: 'enter' }): Task {
    const { send, who, observe } = this.#options;
    const { generation, rank, worldSize, source, step } = order;
    const taken = yield* this.#takeState(order);
    if (typeof taken === 'string') return send({ kind: 'enterFailed', generation, reason: taken });
    this.state = taken;
    this.#votes = false;
    this.#isFirstOfWorld = true;
    const before = this.#place;
    this.#place = { worker: who.worker, generation, rank, worldSize, before };
    const vectors = this.vectors.enter(rank, worldSize);
    observe({ kind: 'adopted', who, generation, source, step, state: taken });
    send({ kind: 'entered', generation, vectors });
  }

  *#takeState(order: WorkerEffect & { readonly kind: 'enter' }): Task<TrainingState | string> {
    const { disk, process, shape, send, sabotage } = this.#options;
    const { generation, step, source, donor } = order;
    if (source === 'own') {
      const own = this.state;
      return own?.step === step ? own : `its own state is not that of step ${step}`;
    }
    if (source === 'peer') {
      send({ kind: 'fetchState', donor, generation, step });
      return yield* waitFor<TrainingState | string>((resume) => {
        this.#taking = { chunks: [], missing: 0, resume };
      });
    }
    return step === 0
      ? seedState(shape)
      : yield* readCheckpoint(disk, process, step, sabotage.verifiesSums);
  }

  #take(bytes: Uint8Array): void {
    const taking = this.#taking;
    if (taking === undefined) return;
    taking.chunks.push(bytes);
    taking.missing -= bytes.length;
    this.#options.send({ kind: 'stateTaken' });
    if (taking.missing > 0) return;
    this.#taken(JSON.parse(Buffer.concat(taking.chunks).toString()) as TrainingState);
  }

  #taken(result: TrainingState | string): void {
    const taking = this.#taking;
    this.#taking = undefined;
    taking?.resume(result);
  }

  #serve(request: number, step: number): void {
    const { send, sabotage } = this.#options;
    const { state } = this;
    if (state?.step !== step || this.#isTraining)
      return send({ kind: 'serveRefused', request, reason: `its state is of step ${state?.step}` });
    const handed = sabotage.donatesOldState ? (this.previous ?? state) : state;
    this.#served.set(request, state);
    const facts = { step, bytes: bytesOf(handed).length, digest: state.digest };
    const header = { ...facts, updates: {}, skippedInARow: 0 };
    send({ kind: 'servedHeader', request, header });
  }

  #serveMore({ request, offset, maxBytes }: ToCompute & { readonly kind: 'serveMore' }): void {
    const { send, sabotage } = this.#options;
    const state = this.#served.get(request);
    if (state === undefined || this.state !== state || this.#isTraining) {
      this.#served.delete(request);
      return send({ kind: 'serveRefused', request, reason: 'its state has changed since' });
    }
    const handed = bytesOf(sabotage.donatesOldState ? (this.previous ?? state) : state);
    if (offset + maxBytes >= handed.length) this.#served.delete(request);
    send({ kind: 'servedChunk', request, bytes: handed.subarray(offset, offset + maxBytes) });
  }

  *#train(generation: number, until: number): Task {
    const { send, process, pace } = this.#options;
    for (;;) {
      const { step } = this.state!;
      if (step >= until || this.#isAborted) break;
      send({ kind: 'activity', step, activity: 'compute' });
      send({ kind: 'begin', step, shape: this.vectors.shape });
      this.#awaitedStep = step;
      this.#factors = [];
      this.#isReduced = false;
      yield* this.#contribute();
      if (this.#isAborted) break;
      const isStale = this.#options.sabotage.keepsOldReduction && this.#givenUpStep === step;
      const reduced =
        isStale || this.#isReduced
          ? step
          : yield* waitFor<number | undefined>((resume) => (this.#onReduced = resume));
      this.#onReduced = undefined;
      if (reduced === undefined) this.#givenUpStep = step;
      if (reduced === undefined) break;
      yield* process.sleep(pace.updateMs * pace.slowness);
      if (this.#commit(generation)) break;
      this.#keepUp();
    }
    this.#isTraining = false;
    this.#halted(generation);
  }

  #halted(generation: number): void {
    const { state } = this;
    const [step, hasState] = [state?.step ?? 0, state !== undefined];
    this.#options.send({ kind: 'halted', generation, step, hasState, trouble: '' });
  }

  /** Computes this rank's micro-shards: factors and sums leave as soon as they are there. */
  *#contribute(): Task {
    const { process, pace, shape, dice, sabotage, who, observe, send } = this.#options;
    const { seed, samples, microShards, microShardSize, chunks, factorChunks } = shape;
    const place = this.#place!;
    const state = this.state!;
    const slots = shareOf(place.rank, place.worldSize, microShards);
    const leaves = sabotage.leaves(place, microShards);
    const computed: ChunkValue[][] = [];
    for (let slot = slots.start; slot < slots.end; slot++) {
      const pieces = this.vectors.piecesOf(state.step, slot);
      if (sabotage.announcesEarly) pieces.forEach(send);
      yield* process.sleep(pace.leafMs * pace.slowness * dice.between(0.9, 1.2));
      if (this.#isAborted) return;
      const leaf = leaves[slot - slots.start] ?? slot;
      const order = { seed, samples, microShards, microShardSize };
      const picks = sabotage.samples(order, state.step, leaf, place);
      const { generation } = place;
      observe({ kind: 'computed', who, generation, step: state.step, leaf, picks });
      const vote = this.#votes && sabotage.heedsVote(who.worker) ? 1 : 0;
      computed[slot] = state.values.map((_, chunk) => {
        return { sum: leafValue(state, leaf, picks, chunk), vote: chunk === 0 ? vote : 0 };
      });
      const factors = Array.from({ length: factorChunks }, (_, i) => {
        return { sum: leafValue(state, leaf, picks, chunks + i), vote: 0 };
      });
      this.vectors.writeFactors(state.step, slot, factors);
      this.vectors.writeSums(slot, computed);
      if (!sabotage.announcesEarly) pieces.forEach(send);
    }
  }

  /** Applies the reduced step; whether no step follows. */
  #commit(generation: number): boolean {
    const { who, observe, sabotage, send, shape } = this.#options;
    const { rank, worldSize } = this.#place!;
    const { step } = this.state!;
    const mean = this.vectors.result(step);
    const sums = Array.from({ length: shape.chunks }, (_, chunk) => mean[chunk]?.sum ?? 0);
    const times = sabotage.applications(this.#place!, this.#isFirstOfWorld);
    this.previous = this.state;
    for (let i = 0; i < times; i++) this.state = applyStep(this.state!, sums, this.#factors);
    this.#isFirstOfWorld = false;
    const state = this.state!;
    observe({ kind: 'committed', who, generation, state, worldSize });
    send({ kind: 'activity', step: state.step, activity: 'data' });
    if (rank === 0) send({ kind: 'tell', message: reportOf(state.step) });
    if (isDue(3, state.step) || state.step === shape.lastStep) {
      const { step, digest: value } = state;
      send({ kind: 'tell', message: { kind: 'digest', generation, step, value, isWhole: false } });
    }
    return (mean[0]?.vote ?? 0) > 0 && sabotage.heedsVote(who.worker);
  }

  #keepUp(): void {
    const { rank, worldSize } = this.#place!;
    const state = this.state!;
    if (!isDue(this.#options.shape.checkpointEvery, state.step)) return;
    this.#reportWhole(state);
    this.#save({ state, share: rank, shares: worldSize, onStored: () => undefined });
  }

  #abort(generation: number): void {
    this.#isAborted = true;
    // Training reports itself that it has halted: a commit under way is not torn.
    if (this.#isTraining) return void this.#onReduced?.(undefined);
    this.#work += 1;
    if (this.#taking !== undefined) this.#options.send({ kind: 'dropState' });
    this.#taking = undefined;
    this.#halted(generation);
  }

  #finish({ generation, step, share, shares }: WorkerEffect & { readonly kind: 'finish' }): void {
    const onStored = (): void => this.#options.send({ kind: 'finished', generation, step });
    this.#reportWhole(this.state!);
    this.#save({ state: this.state!, share, shares, onStored });
  }

  #reportWhole({ step, digest: value }: TrainingState): void {
    const { generation } = this.#place!;
    const message = { kind: 'digest', generation, step, value, isWhole: true } as const;
    this.#options.send({ kind: 'tell', message });
  }

  /** One snapshot is stored, one may wait; a later one takes the place of one that waits. */
  #save(snapshot: Snapshot): void {
    if (this.#storing !== undefined) {
      this.#waiting = snapshot;
      return;
    }
    this.#storing = snapshot;
    this.#options.process.spawn(this.#store(snapshot));
  }

  *#store({ state, share, shares, onStored }: Snapshot): Task {
    const { disk, process, send, sabotage, who } = this.#options;
    const spoilt = sabotage.spoilsSnapshot(who.worker, state.step)
      ? { ...state, values: state.values.map((value) => value + 1) }
      : state;
    if (share === 0) {
      const { step } = state;
      const parameters = parametersSum(spoilt);
      const parts = [...partNames];
      const report = { kind: 'snapshot', step, parts, parametersSha256: parameters } as const;
      send({ kind: 'tell', message: { ...report, updates: {}, skippedInARow: 0 } });
    }
    for (const name of partsOfShare(share, shares)) {
      const message = yield* storePart(disk, process, spoilt, name);
      send({ kind: 'tell', message });
    }
    onStored();
    const next = this.#waiting;
    [this.#storing, this.#waiting] = [undefined, undefined];
    if (next !== undefined) this.#save(next);
  }
}

function reportOf(step: number): StepReport {
  const seconds = { dataS: 0, computeS: 0, exchangeS: 0, updateS: 0 };
  return { kind: 'stepReport', step, phase: 'gan', metrics: [], ...seconds, isSkipped: false };
}

function bytesOf(state: TrainingState): Uint8Array {
  return Buffer.from(JSON.stringify(state));
}
