// The real coordinator core among simulated workers, on a simulated clock and without a network:
// all messages pass through the wire's encoding. What the coordinator itself costs is metered;
// what the workers do in the same process is not.

import type { MethodDefinition } from '@grpc/grpc-js';
import {
  initialCoordinatorState,
  type CoordinatorConfig,
  type CoordinatorEffect,
  type CoordinatorEvent,
  type CoordinatorState,
} from '../coordinator/core/state.js';

import { transition } from '../coordinator/core/transition.js';
import { fromWire, loadControlService, toWire, type WireMessage } from '../shared/control/codec.js';
import { workerMessageSchema, type CoordinatorMessage } from '../shared/control/messages.js';
import type { WorldMessage } from '../shared/control/messages.js';
import type { Generation } from '../shared/words.js';
import { createMeter, type Meter } from './coordinator-meter.js';
import { createSimulatedWorker, type SimulatedWorker } from './simulated-worker.js';

/** How often workers say their status, and the coordinator looks at its clock, as in a run. */
const heartbeatMs = 250;
const tickMs = 100;
/** What happens within so many simulated milliseconds happens at once. */
const sliceMs = 10;

export interface SimulatedCluster {
  readonly meter: Meter;
  nowMs(): number;
  living(): SimulatedWorker[];
  /** Lets a slice of time pass. */
  advance(): void;
  /** Sessions end, and every peer in the same world notices. */
  kill(workers: readonly SimulatedWorker[]): void;
  /** A coordinator that knows nothing takes over, and all workers dial it at once. */
  replaceCoordinator(): void;
  /** Every living worker commits the same step, in the world of all; false if they can't. */
  commitStep(): boolean;
  /** The world that all living workers train in, if it is made of them. */
  world(): Omit<WorldMessage, 'kind'> | undefined;
  /** Worlds formed and workers lost, as the coordinator told. */
  told(kind: CoordinatorEffect['kind']): number;
  /** Drops the coordinator's state, so that what it held can be measured. */
  forgetCoordinator(): void;
}

interface Seat {
  readonly worker: SimulatedWorker;
  session: number;
  readonly phaseMs: number;
}

/** Creates `workers` workers that say hello in the first slice, and a coordinator for them. */
export function createSimulatedCluster(
  workers: number,
  config: CoordinatorConfig,
  record: string,
): SimulatedCluster {
  const meter = createMeter();
  const wire = createWire(meter);
  const seats = createSeats(workers, (id) => !seats.has(id));
  const told = new Map<string, number>();
  let nowMs = 0;
  let events: CoordinatorEvent[] = [];
  const shareMembers = createSharing();
  let state: CoordinatorState | undefined = initialCoordinatorState(config, undefined, nowMs);

  const decide = (batch: readonly CoordinatorEvent[]): CoordinatorEffect[] => {
    const asked = state;
    if (asked === undefined) return [];
    return meter.core(() => transition(asked, batch, nowMs));
  };
  const perform = (effects: readonly CoordinatorEffect[]): void => {
    for (const { kind } of effects) told.set(kind, (told.get(kind) ?? 0) + 1);
    if (effects.some(({ kind }) => kind === 'findCheckpoint'))
      events.push({ kind: 'checkpointFound', step: 0, isStored: false });
    const letters = lettersOf(effects, state?.config.term ?? 0, record);
    wire.encode(letters);
    for (const { worker, message } of letters)
      seats.get(worker)?.worker.receive(shareMembers(message), nowMs);
  };
  const isHeartbeat = (phaseMs: number): boolean => (nowMs - phaseMs) % heartbeatMs === 0;

  return {
    meter,
    nowMs: () => nowMs,
    living: () => [...seats.values()].map(({ worker }) => worker),
    advance: () => {
      nowMs += sliceMs;
      for (const { worker, phaseMs } of seats.values())
        if (isHeartbeat(phaseMs)) worker.tick(nowMs);
      const batch = [...events, ...wire.decode(seats.values())];
      events = [];
      if (nowMs % tickMs === 0) batch.push({ kind: 'tick' });
      perform(decide(batch));
      meter.endSlice();
    },
    kill: (dead) => {
      for (const { id } of dead) {
        const seat = seats.get(id);
        if (seat === undefined || !seats.delete(id)) continue;
        const reason = 'its connection was cut';
        events.push({ kind: 'closed', session: seat.session, worker: id, reason });
      }
      for (const { worker } of seats.values()) {
        if (worker.training() !== undefined) dead.forEach(({ id }) => worker.losePeer(id, nowMs));
      }
    },
    replaceCoordinator: () => {
      state = initialCoordinatorState({ ...config, term: config.term + 1 }, undefined, nowMs);
      events = [];
      for (const seat of seats.values()) {
        seat.worker.takeMessages();
        seat.session += seats.size;
        seat.worker.open(nowMs);
      }
    },
    commitStep: () => commitStep(seats, nowMs),
    world: () => worldOfAll(seats),
    told: (kind) => told.get(kind) ?? 0,
    forgetCoordinator: () => {
      state = undefined;
    },
  };
}

function createSeats(workers: number, isDead: (id: string) => boolean): Map<string, Seat> {
  const seats = new Map<string, Seat>();
  for (let i = 0; i < workers; i++) {
    const address = `10.0.${i >> 8}.${i & 255}:41234`;
    const identity = { worker: `worker-${i}`, incarnation: 1_764_000_000_000 + i, address };
    const worker = createSimulatedWorker(identity, isDead);
    worker.open(0);
    const phaseMs = (i * sliceMs) % heartbeatMs;
    seats.set(identity.worker, { worker, session: i + 1, phaseMs });
  }
  return seats;
}

/** The world that all who are left train in, if none of its members is missing. */
function worldOfAll(seats: ReadonlyMap<string, Seat>): Omit<WorldMessage, 'kind'> | undefined {
  let world: Omit<WorldMessage, 'kind'> | undefined;
  for (const { worker } of seats.values()) {
    const own = worker.training();
    world ??= own;
    if (own === undefined || own.generation !== world?.generation) return undefined;
  }
  return world?.members.length === seats.size ? world : undefined;
}

function commitStep(seats: ReadonlyMap<string, Seat>, nowMs: number): boolean {
  if (worldOfAll(seats) === undefined) return false;
  for (const { worker } of seats.values()) {
    const pace = { dataS: 0.01, computeS: 0.6, exchangeS: 0.3, updateS: 0.05 };
    worker.commit(worker.step() + 1, { ...pace, waitedFor: 'worker-1', waitedS: 0.01 }, nowMs);
  }
  return true;
}

/** A message and whom it is for. */
interface Letter {
  readonly worker: string;
  readonly message: CoordinatorMessage;
}

function lettersOf(
  effects: readonly CoordinatorEffect[],
  term: number,
  record: string,
): readonly Letter[] {
  return effects.flatMap((effect): Letter[] => {
    if (effect.kind === 'send') return [effect];
    if (effect.kind !== 'welcome') return [];
    const runUrl = 'file:///runs/bench';
    return [{ worker: effect.worker, message: { kind: 'welcome', term, runUrl, record } }];
  });
}

interface Wire {
  /** Decodes and checks what the workers said, as the coordinator does. */
  decode(seats: Iterable<Seat>): CoordinatorEvent[];
  /** Encodes what the workers are told, as the coordinator does. */
  encode(letters: readonly Letter[]): void;
}

type Session = MethodDefinition<WireMessage, WireMessage>;

function createWire(meter: Meter): Wire {
  const service = loadControlService().service as Readonly<Record<string, Session>>;
  const { Session: method } = service;
  if (method === undefined) throw new Error('the control service has no sessions');
  return {
    decode: (seats) => {
      const received = [...seats].flatMap(({ worker, session }) =>
        worker.takeMessages().map((message) => {
          return { worker: worker.id, session, bytes: method.requestSerialize(toWire(message)) };
        }),
      );
      for (const { bytes } of received) meter.received(bytes.length);
      return meter.codec(() =>
        received.map(({ worker, session, bytes }): CoordinatorEvent => {
          const message = fromWire(workerMessageSchema, method.requestDeserialize(bytes));
          return { kind: 'message', session, worker, message };
        }),
      );
    },
    encode: (letters) => {
      const sizes = meter.codec(() =>
        letters.map(({ message }) => method.responseSerialize(toWire(message)).length),
      );
      sizes.forEach((bytes) => meter.sent(bytes));
    },
  };
}

/** Each worker has its own copy of its world in a run; here they share one list of members. */
function createSharing(): (message: CoordinatorMessage) => CoordinatorMessage {
  const shared = new Map<Generation, WorldMessage['members']>();
  return (message) => {
    if (message.kind !== 'world') return message;
    const members = shared.get(message.generation) ?? message.members;
    shared.set(message.generation, members);
    return { ...message, members };
  };
}
