// A simulated worker process: the production node on simulated ports, with a simulated compute
// thread. What is planted, counted and observed happens at the ports.

import { chunkBytes } from '../../shared/plan/step-vector.js';
import type { Member } from '../../shared/words.js';
import type { WorkerEffect, WorkerEvent, WorkerState } from '../../worker/core/state.js';
import { transition } from '../../worker/core/transition.js';
import { Exchange } from '../../worker/exchange/exchange.js';
import { joinLanes, type OpenLane } from '../../worker/exchange/lanes.js';
import { defaultExchangeLimits } from '../../worker/exchange/limits.js';
import { NetworkNode } from '../../worker/network/node.js';
import type { ToCompute, ToNetwork } from '../../worker/network/ports.js';
import { createTraps } from '../../worker/network/traps.js';
import { createStateClient } from '../../worker/transfer/fetch-state.js';
import { StateServer } from '../../worker/transfer/serve-state.js';
import { defaultTransferLimits } from '../../worker/transfer/state-frame.js';
import { ComputeSide, type Pace } from './compute-side.js';
import type { Fact, Who } from './facts.js';
import type { Dice } from './machines/dice.js';
import type { ObjectDisk } from './machines/disk.js';
import type { Network, Side } from './machines/network.js';
import type { SimProcess } from './machines/process.js';
import type { Coverage, Trace } from './machines/trace.js';
import type { Sabotage } from './sabotage.js';
import type { RunShape } from './training-state.js';
import {
  acceptStateCall,
  createSimValues,
  dialCoordinators,
  donorChannel,
  incomingCall,
  laneApart,
  peerChannel,
  stateAddress,
} from './worker-ports.js';

/** A message from one thread to the other. */
const threadMs = 0.1;
/** A state is a hundred bytes or two: so it takes a few chunks. */
const transferLimits = { ...defaultTransferLimits, chunkBytes: 40 };
/** From the last word of a node to the end of its process. */
const exitMs = 20;

/** What all nodes of a simulation have in common. */
export interface Surroundings {
  readonly network: Network;
  readonly disk: ObjectDisk;
  readonly shape: RunShape;
  /** Lanes of a worker's exchange; workers may differ. */
  readonly lanesOf: (worker: string) => number;
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
  readonly compute: ComputeSide;
  readonly #options: WorkerOptions;
  readonly #node: NetworkNode;
  /** Streams of peers that were not welcomed yet. */
  readonly #held = new Set<Side>();
  /** The term of the coordinator that the message being handled is from. */
  #term = 0;

  constructor(options: WorkerOptions) {
    const { around, process, who, pace } = options;
    this.#options = options;
    this.process = process;
    this.who = who;
    this.pace = pace;
    this.compute = new ComputeSide({
      ...{ process, dice: options.dice, who, pace, disk: around.disk, shape: around.shape },
      ...{ sabotage: around.sabotage, observe: around.observe },
      send: (message) => process.deliverAfter(threadMs, () => this.#node.onCompute(message)),
    });
    this.#node = this.#createNode();
  }

  get state(): WorkerState {
    return this.#node.state;
  }

  /** Streams that wait for a world. */
  get held(): number {
    return this.#held.size;
  }

  /** As if its compute thread had sent it. */
  dispatch(message: ToNetwork): void {
    this.#node.onCompute(message);
  }

  #createNode(): NetworkNode {
    const { around, process, dice, who, windowChunks, onExit } = this.#options;
    const { network, coordinators, patienceMs } = around;
    const [address, ...lanes] = Array.from({ length: around.lanesOf(who.worker) }, (_, lane) => {
      return `${process.node}:${7000 + lane}`;
    });
    const identity = { ...who, address, lanes, pid: who.incarnation, host: process.node };
    const limits = { ...defaultExchangeLimits, heldBytes: 2 * chunkBytes * windowChunks };
    const toCompute = (message: ToCompute): void =>
      process.deliverAfter(threadMs, () => this.compute.onMessage(message));
    const transfer = { clock: process, toCompute, limits: transferLimits };
    const stateServer = new StateServer(transfer);
    const stateClient = createStateClient({
      ...{ ...transfer, worker: who.worker },
      openChannel: (donor) => donorChannel(network, process, donor),
    });
    network.listen(stateAddress(address), process, (side) =>
      acceptStateCall(side, (call) => stateServer.onCall(call)),
    );
    return new NetworkNode({
      ...{ clock: process, coordinators, stateServer, stateClient, toCompute },
      config: { ...identity, patienceMs, drainMs: 30_000, allowsFaults: false },
      session: {
        dial: dialCoordinators(network, process, dice, ({ term }) => (this.#term = term)),
        random: () => dice.uniform(),
      },
      createExchange: (events) => {
        const openChannel = (peer: Member) => peerChannel(network, process, peer.address);
        const createValues = createSimValues((place) => this.compute.vectors.at(place));
        const openAt =
          (place: string): OpenLane =>
          (own) => {
            const streams = { openChannel, createValues };
            const exchange = new Exchange({ clock: process, limits, events: own, ...streams });
            network.listen(place, process, (side) =>
              exchange.accept(incomingCall(side, this.#held)),
            );
            return exchange;
          };
        const others = lanes.map((place) => laneApart(openAt(place), process, threadMs));
        return joinLanes([openAt(address), ...others], events, process);
      },
      traps: createTraps(() => undefined),
      decide: (...args) => this.#decide(...args),
      onEnd: ({ exitCode, reason }) => process.deliverAfter(exitMs, () => onExit(exitCode, reason)),
    });
  }

  /** The worker's core, with whatever is planted around it. */
  #decide(state: WorkerState, event: WorkerEvent, nowMs: number): WorkerEffect[] {
    const { around, who } = this.#options;
    const { sabotage, observe } = around;
    const wanted: WorkerEffect[] = [];
    for (const each of sabotage.workerEvent(who.worker, event)) {
      const before = state.stage;
      const effects = transition(state, each, nowMs);
      this.#note(before, each);
      for (const effect of effects) wanted.push(...sabotage.workerEffect(who.worker, effect));
    }
    if (event.kind === 'message')
      observe({ kind: 'heard', who, term: this.#term, message: event.message, effects: wanted });
    for (const effect of wanted) {
      if (effect.kind === 'send') observe({ kind: 'sent', from: this.process.name, session: 0 });
      else {
        around.coverage.count(`worker wants ${effect.kind}`);
        observe({ kind: 'wanted', who, effect });
      }
    }
    return wanted;
  }

  #note(before: WorkerState['stage'], event: WorkerEvent): void {
    const { trace, coverage } = this.#options.around;
    const { stage } = this.state;
    if (before !== stage) {
      coverage.count(`worker ${before} -> ${stage}`);
      trace.add(this.process.name, `${before} -> ${stage} (${event.kind})`);
    } else if (event.kind !== 'tick' && event.kind !== 'activity' && event.kind !== 'tell')
      trace.add(this.process.name, `${event.kind}${detailOf(event)}`);
  }
}

function detailOf(event: WorkerEvent): string {
  if (event.kind === 'message') {
    const { message } = event;
    return ` ${message.kind}${'generation' in message ? ` ${message.generation}` : ''}`;
  }
  if (event.kind === 'peerLost') return ` ${event.worker}: ${event.reason}`;
  if (event.kind === 'enterFailed' || event.kind === 'sessionLost') return `: ${event.reason}`;
  return '';
}
