// A worker's node: joins the worker's decisions to its session, its exchange and its compute
// thread. The network thread runs it on sockets, the simulator on a simulated network.

import type { Clock } from '../../shared/clock.js';
import type { CoordinatorMessage, Pace, WorkerMessage } from '../../shared/control/messages.js';
import { exitCodes } from '../../shared/exit-codes.js';
import { isTraceOrder, type TraceOrder } from '../../shared/control/tracing.js';
import type { Log, LogFields } from '../../shared/log.js';
import { messageOf } from '../../shared/problems.js';
import type { Generation } from '../../shared/words.js';
import {
  initialWorkerState,
  type WorkerConfig,
  type WorkerEffect,
  type WorkerEvent,
  type WorkerState,
} from '../core/state.js';
import { transition } from '../core/transition.js';
import type { ExchangeCost, ExchangeEvents, WorkerExchange } from '../exchange/exchange.js';
import type { NodeTracing } from '../step-trace/node-tracing.js';
import type { StateClient } from '../transfer/fetch-state.js';
import type { StateServer } from '../transfer/serve-state.js';
import type { ToCompute, ToNetwork, WorldVectors } from './ports.js';
import { Session, type SessionPorts } from './session.js';
import { standStill, type Traps } from './traps.js';

/** Interval of the heartbeats. */
const heartbeatMs = 250;

/** A link that brings the bytes of a step in less is not slow, whatever its share of the step. */
const leastLinkS = 0.5;

/** What the host of a node provides. */
export interface NodePorts {
  readonly config: WorkerConfig;
  /** "host:port" of the coordinator and its standbys. */
  readonly coordinators: readonly string[];
  readonly clock: Clock;
  readonly session: Omit<SessionPorts, 'clock'>;
  readonly createExchange: (events: ExchangeEvents) => WorkerExchange;
  readonly stateServer: StateServer;
  readonly stateClient: StateClient;
  readonly traps: Traps;
  readonly toCompute: (message: ToCompute) => void;
  readonly log?: Log;
  /** Takes part in traces of steps. */
  readonly tracing?: NodeTracing;
  /** The last act: the node has left, and says nothing more. */
  readonly onEnd: (end: WorkerEffect & { readonly kind: 'end' }) => void;
  /** What decides; the worker's core unless a host puts something in between. */
  readonly decide?: typeof transition;
}

/** What the compute thread has of a step. */
type StepMessage = Extract<ToNetwork, { readonly kind: 'begin' | 'contribute' | 'publish' }>;

/** Owns the session and the exchange. */
export class NetworkNode {
  readonly state: WorkerState;
  readonly #ports: NodePorts;
  readonly #decide: typeof transition;
  readonly #exchange: WorkerExchange;
  readonly #session: Session;
  readonly #stopTicks: () => void;
  #vectors: WorldVectors | undefined;
  /** Of the step reduced last. */
  #cost: ExchangeCost = {
    ...{ waitedFor: undefined, waitedMs: 0, sentBytes: 0, receivedBytes: 0 },
    link: undefined,
  };

  constructor(ports: NodePorts) {
    const { clock, config, coordinators, session, createExchange, decide = transition } = ports;
    this.#ports = ports;
    this.#decide = decide;
    this.state = initialWorkerState(config, clock.nowMs());
    this.#exchange = createExchange({
      onJoined: (generation) => this.#dispatch({ kind: 'joined', generation }),
      onGathered: (generation, step) => this.#toCompute(generation, { kind: 'gathered', step }),
      onReduced: (generation, step, cost) => {
        this.#cost = cost;
        this.#toCompute(generation, { kind: 'reduced', step });
      },
      onPeerLost: ({ generation, worker, reason }) =>
        this.#dispatch({ kind: 'peerLost', generation, worker, reason }),
    });
    this.#session = new Session(
      coordinators,
      { clock, ...session },
      {
        onOpen: () => this.#dispatch({ kind: 'sessionOpened' }),
        onMessage: (message) => this.#onMessage(message),
        onLost: (reason) => {
          ports.tracing?.stop();
          this.#dispatch({ kind: 'sessionLost', reason });
        },
      },
    );
    this.#stopTicks = clock.every(heartbeatMs, () => this.#dispatch({ kind: 'tick' }));
  }

  /** A message of the compute thread. */
  onCompute(message: ToNetwork): void {
    const { stateClient, stateServer } = this.#ports;
    switch (message.kind) {
      case 'entered':
        this.#vectors = message.vectors;
        return this.#dispatch({ kind: 'entered', generation: message.generation });
      case 'begin':
      case 'contribute':
      case 'publish':
        return this.#exchangeStep(message);
      case 'paced':
        return this.#dispatch({ kind: 'paced', pace: this.#paceOf(message) });
      case 'tell':
        return this.#tell(message.message);
      case 'recorded':
        return this.#ports.tracing?.onRecorded(message);
      case 'fetchState':
        return stateClient.fetch(message);
      case 'stateTaken':
        return stateClient.taken();
      case 'dropState':
        return stateClient.drop();
      case 'servedHeader':
      case 'servedChunk':
      case 'serveRefused':
        return stateServer.onCompute(message);
      case 'ready':
      case 'enterFailed':
      case 'activity':
      case 'halted':
      case 'finished':
      case 'failed':
      case 'stopAsked':
        return this.#dispatch(message);
    }
  }

  /** What belongs to a trace decides nothing. */
  #onMessage(message: CoordinatorMessage | TraceOrder): void {
    if (!isTraceOrder(message)) return this.#dispatch({ kind: 'message', message });
    // Before its welcome nobody knows whose coordinator it is.
    if (!this.state.isWelcome) return;
    this.#ports.tracing?.onOrder(message, (answer) => this.#session.send(answer));
  }

  #dispatch(event: WorkerEvent): void {
    this.#write(event);
    const nowMs = this.#ports.clock.nowMs();
    for (const effect of this.#decide(this.state, event, nowMs)) this.#perform(effect);
  }

  #write(happened: WorkerEvent | WorkerEffect): void {
    const { log, tracing } = this.#ports;
    const fact = log === undefined ? undefined : factOf(happened);
    if (fact === undefined) return;
    log?.[fact[0]](fact[1], fact[2]);
    const peer = fact[2]?.['peer'];
    tracing?.happened({
      ...{ name: fact[1], peer: typeof peer === 'string' ? peer : undefined },
      ...{ step: this.state.step, generation: this.state.world.generation },
    });
  }

  #perform(effect: WorkerEffect): void {
    this.#write(effect);
    const { toCompute, stateServer } = this.#ports;
    switch (effect.kind) {
      case 'send':
        return this.#session.send(effect.message);
      case 'redial':
        return this.#session.redial(effect.reason);
      case 'enter':
        toCompute(effect);
        // After the order, which comes before whatever a peer that was held is served.
        return stateServer.setWorld(effect.generation, memberOf(this.state.world));
      case 'join':
        return this.#join(effect);
      case 'fault':
        return this.#inject(effect.fault);
      case 'end':
        return this.#leave(effect);
      case 'abort':
      case 'finish':
      case 'prepare':
      case 'train':
      case 'voteStop':
        return toCompute(effect);
    }
  }

  #join({ world, rank }: WorkerEffect & { kind: 'join' }): void {
    if (this.#vectors === undefined) throw new Error('vectors come before the world is joined');
    const { generation, members, step } = world;
    this.#ports.traps.reach('connect', step);
    const place = { world: { generation, members }, rank, lane: 0, lanes: 1 };
    this.#exchange.join({ ...place, ...this.#vectors });
  }

  #exchangeStep(message: StepMessage): void {
    try {
      if (message.kind === 'begin') this.#exchange.begin(message.step, message.shape);
      else if (message.kind === 'contribute')
        this.#exchange.contribute(message.step, message.index);
      else this.#exchange.publish(message.step, message.leaf);
    } catch (error) {
      // A step that was given up since, or belongs to an earlier world, concerns nobody any more.
      if (this.state.stage !== 'training') return;
      const reason = messageOf(error);
      this.#dispatch({ kind: 'failed', reason, exitCode: exitCodes.failed, sample: '' });
    }
  }

  /** What became of a step concerns nobody any more when its world is over. */
  #toCompute(generation: Generation, message: ToCompute): void {
    if (this.state.world.generation !== generation || this.state.stage !== 'training') return;
    this.#ports.toCompute(message);
  }

  /** What only the exchange knows of the step reduced last. */
  #exchanged(): Pick<Pace, 'waitedFor' | 'waitedS' | 'sentBytes' | 'receivedBytes'> {
    const { waitedFor, waitedMs, sentBytes, receivedBytes } = this.#cost;
    const peer = waitedFor === undefined ? undefined : this.state.world.members[waitedFor];
    return { waitedFor: peer?.worker ?? '', waitedS: waitedMs / 1000, sentBytes, receivedBytes };
  }

  #paceOf({ kind: _kind, ...seconds }: ToNetwork & { kind: 'paced' }): Pace {
    const { link } = this.#cost;
    const peer = link === undefined ? undefined : this.state.world.members[link.rank]?.worker;
    const isSlow = link !== undefined && isWorthAWord(link.ms / 1000, seconds);
    const rate = isSlow ? { slowLink: peer, linkBytesPerS: (1000 * link.bytes) / link.ms } : {};
    return { ...seconds, ...this.#exchanged(), ...rate };
  }

  #tell(message: WorkerMessage): void {
    const { waitedS } = this.#exchanged();
    const told = message.kind === 'stepReport' ? { ...message, waitedS } : message;
    this.#dispatch({ kind: 'tell', message: told });
  }

  #inject({ fault, seconds, peer, trap }: (WorkerEffect & { kind: 'fault' })['fault']): void {
    const { toCompute, traps } = this.#ports;
    switch (fault) {
      case 'flip':
        return toCompute({ kind: 'flip' });
      case 'mute':
        return this.#exchange.mute(peer, 1000 * seconds);
      case 'freeze':
        return standStill(1000 * seconds);
      case 'trap':
        if (trap === undefined) return;
        traps.set(trap);
        return toCompute({ kind: 'trap', trap });
    }
  }

  #leave(end: WorkerEffect & { kind: 'end' }): void {
    const { stateClient, stateServer, tracing, onEnd } = this.#ports;
    this.#stopTicks();
    tracing?.leave();
    stateClient.drop();
    stateServer.close();
    this.#session.close(() => this.#exchange.close(() => onEnd(end)));
  }
}

/**
 * Whether a step waits for a link that brings bytes for so long. Sums and results pass one after
 * the other, so of a slow link's time either end counts no more than half.
 */
function isWorthAWord(
  linkS: number,
  {
    dataS,
    computeS,
    exchangeS,
    updateS,
  }: Pick<Pace, 'dataS' | 'computeS' | 'exchangeS' | 'updateS'>,
): boolean {
  const stepS = dataS + computeS + exchangeS + updateS;
  return linkS >= leastLinkS && linkS >= exchangeS / 4 && linkS >= stepS / 10;
}

function memberOf({ members }: WorkerState['world']): (worker: string) => boolean {
  const names = new Set(members.map(({ worker }) => worker));
  return (worker) => names.has(worker);
}

/** What an operator reads of an event or an effect; undefined for what every step brings. */
function factOf(
  happened: WorkerEvent | WorkerEffect,
): [level: 'info' | 'warn', fact: string, fields?: LogFields] | undefined {
  const { kind, ...fields } = happened;
  switch (kind) {
    case 'sessionOpened':
      return ['info', 'session opened'];
    case 'sessionLost':
      return ['warn', 'session lost', fields];
    case 'redial':
      return ['warn', 'session given up', fields];
    case 'enter':
      return ['info', 'world formed', fields];
    case 'enterFailed':
      return ['warn', 'world not entered', fields];
    case 'joined':
      return ['info', 'world joined', fields];
    case 'peerLost': {
      const { generation, worker, reason } = happened;
      return ['warn', 'peer lost', { generation, peer: worker, reason }];
    }
    case 'abort':
      return ['warn', 'step given up', fields];
    case 'halted':
      return ['info', 'world halted', fields];
    case 'tell': {
      const { message } = happened;
      if (message.kind !== 'partStored') return undefined;
      const { step, file, bytes } = message;
      return ['info', 'checkpoint part stored', { step, file, bytes }];
    }
    case 'stopAsked':
      return ['info', 'leave asked'];
    case 'fault':
      return ['warn', 'fault injected', fields];
    case 'failed':
      return ['warn', 'worker failed', fields];
    case 'end':
      return ['info', 'ended', fields];
    default:
      return undefined;
  }
}
