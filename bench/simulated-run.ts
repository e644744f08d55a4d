// The coordinator's real leading among simulated workers, on a simulated clock and without a
// network: all messages pass through the wire's encoding. What the coordinator itself costs is
// metered; what the workers do in the same process is not.

import type { MethodDefinition } from '@grpc/grpc-js';
import type {
  CoordinatorConfig,
  CoordinatorEffect,
  CoordinatorEvent,
} from '../coordinator/core/state.js';
import { transition } from '../coordinator/core/transition.js';
import { lead, type Leading } from '../coordinator/leading.js';
import type { Clock } from '../shared/clock.js';
import { fromWire, loadControlService, toWire, type WireMessage } from '../shared/control/codec.js';
import {
  workerMessageSchema,
  type CoordinatorMessage,
  type WorldMessage,
} from '../shared/control/messages.js';
import type { Generation } from '../shared/words.js';
import { createMeter, type Meter } from './coordinator-meter.js';
import { createSimulatedWorker, type SimulatedWorker } from './simulated-worker.js';

/** How often workers send their status, as in a run. */
const heartbeatMs = 250;
/** What happens within so many simulated milliseconds happens at once. */
const sliceMs = 10;

export interface SimulatedRun {
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
  /** How often the coordinator wanted something: worlds formed, workers lost. */
  wanted(kind: CoordinatorEffect['kind']): number;
  /** Drops the coordinator's state, so that what it held can be measured. */
  forgetCoordinator(): void;
}

interface Seat {
  readonly worker: SimulatedWorker;
  session: number;
  readonly phaseMs: number;
}

/** Creates `workers` workers that say hello in the first slice, and a coordinator for them. */
export function createSimulatedRun(
  workers: number,
  config: CoordinatorConfig,
  record: string,
): SimulatedRun {
  const meter = createMeter();
  const wire = createWire(meter);
  const seats = createSeats(workers, (id) => !seats.has(id));
  const wanted = new Map<string, number>();
  const clock = createSlicedClock();
  const shareMembers = createSharing();
  let letters: Letter[] = [];
  const send = (session: number, message: CoordinatorMessage): void =>
    void letters.push({ session, message });
  const startLeading = (term: number): Leading =>
    leadSimulated({ ...config, term }, record, clock, send, (state, events, nowMs) => {
      const effects = meter.core(() => transition(state, events, nowMs));
      for (const { kind } of effects) wanted.set(kind, (wanted.get(kind) ?? 0) + 1);
      return effects;
    });
  let leading: Leading | undefined = startLeading(config.term);
  const deliver = (): void => {
    const sent = letters;
    letters = [];
    wire.encode(sent);
    const bySession = new Map([...seats.values()].map((seat) => [seat.session, seat.worker]));
    for (const { session, message } of sent)
      bySession.get(session)?.receive(shareMembers(message), clock.nowMs());
  };
  return {
    meter,
    nowMs: clock.nowMs,
    living: () => [...seats.values()].map(({ worker }) => worker),
    advance: () => {
      clock.advance(() => {
        beat(seats, clock.nowMs());
        for (const event of wire.decode(seats.values())) leading?.soon(event);
      });
      deliver();
      meter.endSlice();
    },
    kill: (dead) => {
      for (const { id } of dead) {
        const seat = seats.get(id);
        if (seat === undefined || !seats.delete(id)) continue;
        const reason = 'its connection was cut';
        leading?.soon({ kind: 'closed', session: seat.session, worker: id, reason });
      }
      for (const { worker } of seats.values())
        if (worker.training() !== undefined)
          dead.forEach(({ id }) => worker.losePeer(id, clock.nowMs()));
    },
    replaceCoordinator: () => {
      leading?.close();
      leading = startLeading(config.term + 1);
      for (const seat of seats.values()) {
        seat.worker.takeMessages();
        seat.session += seats.size;
        seat.worker.open(clock.nowMs());
      }
    },
    commitStep: () => commitStep(seats, clock.nowMs()),
    world: () => worldOfAll(seats),
    wanted: (kind) => wanted.get(kind) ?? 0,
    forgetCoordinator: () => {
      leading?.close();
      leading = undefined;
    },
  };
}

function leadSimulated(
  config: CoordinatorConfig,
  record: string,
  clock: Clock,
  send: (session: number, message: CoordinatorMessage) => void,
  decide: typeof transition,
): Leading {
  const ignore = (): void => undefined;
  const found = { kind: 'checkpointFound', step: 0, isStored: false } as const;
  return lead({
    ...{ clock, config, savedStep: undefined, decide },
    ...{ runUrl: 'file:///runs/bench', record, onOver: ignore },
    sessions: { send, dismiss: ignore, broadcast: ignore },
    reporter: {
      ...{ formed: ignore, lost: ignore, notice: ignore, target: ignore, message: ignore },
      ...{ superseded: ignore, observed: ignore, ended: ignore },
    },
    checkpoints: {
      find: (done) => clock.soon(() => done(found)),
      commit: ignore,
      noteBest: ignore,
    },
    newestTerm: (done) => done(0),
    holdTerm: (done) => done(undefined),
  });
}

/** Lets those send a heartbeat that are due. */
function beat(seats: ReadonlyMap<string, Seat>, nowMs: number): void {
  for (const { worker, phaseMs } of seats.values())
    if ((nowMs - phaseMs) % heartbeatMs === 0) worker.tick(nowMs);
}

interface SlicedClock extends Clock {
  /** Lets a slice of time pass: `happen`, then the timers that are due, then what was put off. */
  advance(happen: () => void): void;
}

function createSlicedClock(): SlicedClock {
  let nowMs = 0;
  let later: (() => void)[] = [];
  const timers = new Set<{ readonly intervalMs: number; readonly run: () => void }>();
  return {
    nowMs: () => nowMs,
    after: () => {
      throw new Error('nothing in this bench waits by a timer of its own');
    },
    every: (intervalMs, run) => {
      const timer = { intervalMs, run };
      timers.add(timer);
      return () => void timers.delete(timer);
    },
    soon: (run) => void later.push(run),
    advance: (happen) => {
      nowMs += sliceMs;
      happen();
      for (const { intervalMs, run } of timers) if (nowMs % intervalMs === 0) run();
      const due = later;
      later = [];
      for (const run of due) run();
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
    const exchange = { waitedFor: 'worker-1', waitedS: 0.01, sentBytes: 1e8, receivedBytes: 1e8 };
    worker.commit(worker.step() + 1, { ...pace, ...exchange }, nowMs);
  }
  return true;
}

/** A message, and the session that it is for. */
interface Letter {
  readonly session: number;
  readonly message: CoordinatorMessage;
}

interface Wire {
  /** Decodes and checks what the workers sent, as the coordinator does. */
  decode(seats: Iterable<Seat>): CoordinatorEvent[];
  /** Encodes what the workers get, as the coordinator does. */
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
