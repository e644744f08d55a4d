// A simulated worker process: the real decisions between a simulated session, exchange and
// compute thread, put together as worker/network/network-thread.ts does it.

import {
  initialWorkerState,
  type WorkerEffect,
  type WorkerEvent,
} from '../../worker/core/state.js';
import type { WorkerState } from '../../worker/core/state.js';
import { transition } from '../../worker/core/transition.js';
import { ComputeSide, type FetchOrder, type FromCompute, type Pace } from './compute-side.js';
import { ControlEdge } from './control-edge.js';
import type { Coverage } from './coverage.js';
import type { Dice } from './dice.js';
import type { ObjectDisk } from './disk.js';
import { ExchangeSide, type StateRequest } from './exchange-side.js';
import type { Vectors } from './exchange-session.js';
import type { Fact, Who } from './facts.js';
import type { Network, Side } from './network.js';
import type { SimProcess } from './process.js';
import type { Sabotage } from './sabotage.js';
import type { Trace } from './trace.js';
import type { RunShape, TrainingState } from './training-state.js';

const heartbeatMs = 250;
/** A message from one thread to the other. */
const threadMs = 0.1;
/** A state is sent in so many pieces, each with a wait for the piece before. */
const statePieces = 4;
const statePieceMs = 15;
const stateSilenceMs = 3_000;
/** A request of a world that this worker has not entered yet waits so long. */
const holdMs = 10_000;

/** What all nodes of a cluster have in common. */
export interface Surroundings {
  readonly network: Network;
  readonly disk: ObjectDisk;
  readonly shape: RunShape;
  readonly sabotage: Sabotage;
  readonly trace: Trace;
  readonly coverage: Coverage;
  readonly coordinators: readonly string[];
  readonly patienceMs: number;
  readonly observe: (fact: Fact) => void;
}

export interface WorkerOptions {
  readonly around: Surroundings;
  readonly process: SimProcess;
  readonly dice: Dice;
  readonly who: Who;
  readonly pace: Pace;
  readonly windowChunks: number;
  readonly onExit: (code: number, reason: string) => void;
}

export class WorkerNode {
  readonly process: SimProcess;
  readonly who: Who;
  readonly pace: Pace;
  readonly state: WorkerState;
  readonly compute: ComputeSide;
  readonly exchange: ExchangeSide;
  readonly #options: WorkerOptions;
  readonly #control: ControlEdge;
  #vectors: Vectors | undefined;
  /** Requests for the state of a world that this worker has not heard of. */
  readonly #asked: { readonly side: Side; readonly generation: number; readonly step: number }[] =
    [];
  /** Generation of the world entered last: what earlier ones ask for is refused. */
  #entered = 0;

  constructor(options: WorkerOptions) {
    const { around, process, dice, who, pace } = options;
    this.#options = options;
    this.process = process;
    this.who = who;
    this.pace = pace;
    const address = `${process.node}:7000`;
    const { patienceMs } = around;
    const config = {
      ...{ ...who, address, patienceMs, drainMs: 30_000, allowsFaults: false },
      ...{ pid: who.incarnation, host: process.node },
    };
    this.state = initialWorkerState(config, process.nowMs());
    this.exchange = new ExchangeSide(process, around.network, options.windowChunks, {
      onJoined: (generation) => this.dispatch({ kind: 'joined', generation }),
      onReduced: (generation, step) => {
        const isWanted =
          this.state.world.generation === generation && this.state.stage === 'training';
        if (!isWanted) return;
        this.#later(() => this.compute.onMessage({ kind: 'reduced', step }));
      },
      onPeerLost: (generation, worker, reason) =>
        this.dispatch({ kind: 'peerLost', generation, worker, reason }),
      onStateAsked: (side, generation, step) => this.#onStateAsked(side, generation, step),
    });
    this.compute = new ComputeSide({
      ...{ process, dice, who, pace, disk: around.disk, shape: around.shape },
      ...{ sabotage: around.sabotage, observe: around.observe },
      send: (message) => this.#later(() => this.#onCompute(message)),
      fetch: (order, done) => this.#fetch(order, done),
    });
    around.network.listen(address, process, (side) => this.exchange.accept(side));
    this.#control = new ControlEdge(process, around.network, dice, around.coordinators, {
      onOpen: () => this.dispatch({ kind: 'sessionOpened' }),
      onMessage: ({ term, message }) => {
        const effects = this.dispatch({ kind: 'message', message });
        around.observe({ kind: 'heard', who, term, message, effects });
      },
      onLost: (reason) => this.dispatch({ kind: 'sessionLost', reason }),
    });
    process.every(heartbeatMs, () => this.dispatch({ kind: 'tick' }));
  }

  /** Lets the core decide, and does what it wants; gives what it wanted. */
  dispatch(event: WorkerEvent): WorkerEffect[] {
    const { around, who } = this.#options;
    const all: WorkerEffect[] = [];
    for (const each of around.sabotage.workerEvent(who.worker, event)) {
      const before = this.state.stage;
      const effects = transition(this.state, each, this.process.nowMs());
      if (before !== this.state.stage) {
        around.coverage.count(`worker ${before} -> ${this.state.stage}`);
        around.trace.add(this.process.name, `${before} -> ${this.state.stage} (${each.kind})`);
      } else if (each.kind !== 'tick' && each.kind !== 'activity' && each.kind !== 'tell')
        around.trace.add(this.process.name, `${each.kind}${detailOf(each)}`);
      for (const wanted of effects)
        for (const effect of around.sabotage.workerEffect(who.worker, wanted)) {
          all.push(effect);
          this.#perform(effect);
        }
    }
    return all;
  }

  #later(run: () => void): void {
    this.process.after(threadMs, run);
  }

  #perform(effect: WorkerEffect): void {
    const { around, who, process } = this.#options;
    if (effect.kind !== 'send') {
      around.coverage.count(`worker wants ${effect.kind}`);
      around.observe({ kind: 'wanted', who, effect });
    }
    switch (effect.kind) {
      case 'send':
        around.observe({ kind: 'sent', from: process.name, session: 0 });
        return this.#control.send(effect.message);
      case 'redial':
        return this.#control.redial(effect.reason);
      case 'join':
        return this.#join(effect);
      case 'enter':
        this.#entered = effect.generation;
        for (const { side, generation, step } of this.#asked.splice(0))
          this.#onStateAsked(side, generation, step);
        return this.#later(() => this.compute.onMessage(effect));
      case 'end':
        this.#control.close();
        return void process.after(20, () => this.#options.onExit(effect.exitCode, effect.reason));
      case 'fault':
        return;
      default:
        return this.#later(() => this.compute.onMessage(effect));
    }
  }

  #join({ world, rank }: WorkerEffect & { readonly kind: 'join' }): void {
    const { microShards } = this.#options.around.shape;
    const { generation, members } = world;
    // Values live beside the core here: its vectors are only counted.
    const plain = { contributions: [], results: [noFloats, noFloats] as const };
    this.exchange.join(
      { world: { generation, members }, rank, microShards, ...plain },
      this.#vectors!,
    );
  }

  #onCompute(message: FromCompute): void {
    if (message.kind === 'vectors') this.#vectors = message.vectors;
    else if (message.kind === 'reduce') this.exchange.allReduce(message.step, message.floats);
    else this.dispatch(message);
  }

  /** Gets a state from a peer, piece by piece. */
  #fetch(
    { donor, generation, step }: FetchOrder,
    done: (result: TrainingState | string) => void,
  ): void {
    const { network } = this.#options.around;
    let isDone = false;
    let pieces = 0;
    const finish = (result: TrainingState | string): void => {
      if (isDone) return;
      isDone = true;
      this.#later(() => done(result));
    };
    network.dial(this.process, donor, (side) => {
      if (typeof side === 'string') return finish(`the donor can't be reached: ${side}`);
      const stream = side as Side<StateRequest | 'more', TrainingState>;
      let heard = 0;
      const watch = (): void =>
        void this.process.after(stateSilenceMs, () => {
          if (isDone) return;
          if (heard === pieces) {
            stream.close('silent');
            return finish('the donor fell silent');
          }
          heard = pieces;
          watch();
        });
      heard = -1;
      watch();
      stream.events = {
        onMessage: (state) => {
          pieces += 1;
          if (pieces < statePieces) return stream.send('more');
          stream.close('complete');
          finish(state);
        },
        onClosed: (reason) => finish(reason),
      };
      stream.send({ kind: 'state', generation, step });
    });
  }

  #onStateAsked(side: Side, generation: number, step: number): void {
    if (generation < this.#entered) return side.close(`refused: generation ${generation} is over`);
    if (generation === this.#entered) return this.#serve(side, generation, step);
    const request = { side, generation, step };
    this.#asked.push(request);
    this.process.after(holdMs, () => {
      const at = this.#asked.indexOf(request);
      if (at < 0) return;
      this.#asked.splice(at, 1);
      side.close('refused: this worker did not enter your world');
    });
  }

  #serve(side: Side, generation: number, step: number): void {
    const stream = side as Side<TrainingState, 'more'>;
    const { state, previous } = this.compute;
    const { donatesOldState } = this.#options.around.sabotage;
    if (state?.step !== step)
      return stream.close(`refused: no state of step ${step} for generation ${generation}`);
    const sendPiece = (): void =>
      void this.process.after(statePieceMs, () => {
        if (this.compute.state !== state) return stream.close('refused: the state has changed');
        stream.send(donatesOldState ? (previous ?? state) : state);
      });
    stream.events = { onMessage: sendPiece, onClosed: () => undefined };
    sendPiece();
  }
}

const noFloats = new Float32Array(0);

function detailOf(event: WorkerEvent): string {
  if (event.kind === 'message') {
    const { message } = event;
    return ` ${message.kind}${'generation' in message ? ` ${message.generation}` : ''}`;
  }
  if (event.kind === 'peerLost') return ` ${event.worker}: ${event.reason}`;
  if (event.kind === 'enterFailed' || event.kind === 'sessionLost') return `: ${event.reason}`;
  return '';
}
