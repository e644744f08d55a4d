// The history of a run out of JetStream, for those that watch it from afar: everything that its
// stream still has, in order, and on request whatever comes. A lost connection is made anew, and
// reading goes on where it was.

import { setTimeout as pause } from 'node:timers/promises';
import {
  AckPolicy,
  DeliverPolicy,
  nanos,
  type JetStreamManager,
  type JsMsg,
  type NatsConnection,
} from 'nats';
import { parseJson } from '../bounded-json.js';
import { OperatorError } from '../problems.js';
import { maxEventBytes, parseCloudEvent, subjectOf, subjectsOf, type ParsedEvent } from './bus.js';
import {
  connectOnce,
  findStream,
  isNotFound,
  madeAtOf,
  reasonOfFailure,
} from './nats-connection.js';
import { parseNatsUrl, type NatsAddress, type NatsLocation } from './nats-url.js';

export interface NatsHistoryOptions extends NatsAddress {
  readonly run: string;
  /** Goes on with what comes, until `signal`; else it ends with the newest event that is there. */
  readonly follow?: boolean;
  readonly signal?: AbortSignal;
  /** One line when the server goes away, one when it is back. */
  readonly onNotice?: (text: string) => void;
  /** Called once: all that was there at first has been given. */
  readonly onCaughtUp?: () => void;
}

const firstWaitMs = 200;
const longestWaitMs = 5_000;
/** Events asked for at a time, and how long that request stands when there are fewer. */
const fetchMessages = 256;
const fetchMs = 10_000;
const answerMs = 5_000;
/** Other runs that are named where this one is not found. */
const maxNamed = 8;

/**
 * Reads the events of a run; of several runs of one name, those of the newest. What is no event is
 * left out. Throws an OperatorError when there is no server, no stream or no event of the run, and
 * when the connection is lost; while following, it waits for them instead once it has been
 * connected.
 */
export async function* readNatsEvents(options: NatsHistoryOptions): AsyncGenerator<ParsedEvent> {
  const { run, follow = false, signal, onNotice, onCaughtUp } = options;
  const location = parseNatsUrl(options.url, undefined, options.login);
  let [next, waitMs] = [1, firstWaitMs];
  let [wasThere, isAway, isCaughtUp] = [false, false, false];
  const isOver = (): boolean => signal?.aborted === true;
  while (!isOver()) {
    let reason = 'the connection was lost';
    try {
      for await (const { sequence, event, isNewest } of readOnce(location, options, next)) {
        if (isAway) onNotice?.(`event bus ${location.shown} is back`);
        [wasThere, isAway, waitMs] = [true, false, firstWaitMs];
        next = sequence + 1;
        if (event !== undefined) yield event;
        if (isNewest && !isCaughtUp) onCaughtUp?.();
        isCaughtUp ||= isNewest;
        if (isNewest && !follow) return;
      }
    } catch (error) {
      reason = error instanceof NoHistory ? error.message : reasonOfFailure(error);
    }
    if (isOver()) return;
    if (!follow || !wasThere) throw unreadable(location, run, reason);
    if (!isAway) onNotice?.(`event bus ${location.shown} is away: ${reason}`);
    isAway = true;
    await pause(waitMs, undefined, { signal }).catch(() => undefined);
    waitMs = Math.min(longestWaitMs, waitMs * 2);
  }
}

interface Message {
  /** Its number in the stream. */
  readonly sequence: number;
  readonly event: ParsedEvent | undefined;
  /** Nothing that was there when we connected comes after it. */
  readonly isNewest: boolean;
}

/** There is nothing to read, for a reason that its message says. */
class NoHistory extends Error {}

function unreadable({ shown }: NatsLocation, run: string, reason: string): OperatorError {
  const allowed = 'a NATS server whose JetStream has them';
  return new OperatorError(`the events of run "${run}" can't be read`, [
    { key: 'event bus', given: shown, allowed, hint: reason },
  ]);
}

/** Reads from the message of number `next` on, until the connection is lost. */
async function* readOnce(
  location: NatsLocation,
  { run, signal }: NatsHistoryOptions,
  next: number,
): AsyncGenerator<Message> {
  const connection = await connectOnce(location);
  const leave = (): void => void connection.close();
  signal?.addEventListener('abort', leave, { once: true });
  try {
    const { stream, newest, madeAt } = await findRun(connection, run);
    // A stream that was made anew counts from 1.
    let sequence = newest + 1 < next ? 0 : next - 1;
    yield { sequence, event: undefined, isNewest: sequence >= newest };
    for await (const message of consume(connection, stream, run, sequence + 1)) {
      sequence = message?.seq ?? sequence;
      const isOurs = madeAt === undefined || madeAt === (madeAtOf(message?.headers) ?? madeAt);
      const event = message && isOurs ? readMessage(message.data, run) : undefined;
      yield { sequence, event, isNewest: message === undefined || sequence >= newest };
    }
  } finally {
    signal?.removeEventListener('abort', leave);
    await connection.close();
  }
}

/** A run's messages in order, until the connection is closed; undefined: none for a while. */
async function* consume(
  connection: NatsConnection,
  stream: string,
  run: string,
  from: number,
): AsyncGenerator<JsMsg | undefined> {
  const manager = await connection.jetstreamManager({ timeout: answerMs });
  const { name } = await manager.consumers.add(stream, {
    ...{ filter_subject: subjectsOf(run), ack_policy: AckPolicy.None },
    ...{ deliver_policy: DeliverPolicy.StartSequence, opt_start_seq: from },
    // It goes when nobody asks it any more.
    ...{ inactive_threshold: nanos(6 * fetchMs), mem_storage: true, num_replicas: 1 },
  });
  const consumer = await connection.jetstream().consumers.get(stream, name);
  while (!connection.isClosed()) {
    const messages = await consumer.fetch({ max_messages: fetchMessages, expires: fetchMs });
    void connection.closed().then(() => messages.stop());
    let count = 0;
    for await (const message of messages) {
      count += 1;
      yield message;
    }
    if (count > 0) continue;
    yield undefined;
    // It throws when the consumer has gone.
    if (!connection.isClosed()) await consumer.info();
  }
}

function readMessage(data: Uint8Array, run: string): ParsedEvent | undefined {
  if (data.length > maxEventBytes) return undefined;
  try {
    const event = parseCloudEvent(parseJson(Buffer.from(data).toString()));
    // Names that differ may have the same subject.
    return event?.id.startsWith(`${run}/`) === true ? event : undefined;
  } catch {
    return undefined;
  }
}

interface FoundRun {
  /** That has the run's events. */
  readonly stream: string;
  /** Number of the newest message. */
  readonly newest: number;
  /** Of the newest run, where several had this name; undefined: that is not known. */
  readonly madeAt: string | undefined;
}

async function findRun(connection: NatsConnection, run: string): Promise<FoundRun> {
  const manager = await connection.jetstreamManager({ timeout: answerMs });
  const stream = await findStream(manager, subjectOf(run, 'run'));
  if (stream === undefined) throw new NoHistory('no stream there takes events of Lockstep');
  try {
    const newest = await manager.streams.getMessage(stream, { last_by_subj: subjectsOf(run) });
    const isOurs = readMessage(newest.data, run) !== undefined;
    return { stream, newest: newest.seq, madeAt: isOurs ? madeAtOf(newest.header) : undefined };
  } catch (error) {
    if (!isNotFound(error)) throw error;
    const others = await runsIn(manager, stream);
    throw new NoHistory(`stream ${stream} has none of this run; ${others}`);
  }
}

async function runsIn(manager: JetStreamManager, stream: string): Promise<string> {
  const { state } = await manager.streams.info(stream, { subjects_filter: 'lockstep.v1.*.run' });
  const runs = Object.keys(state.subjects ?? {}).map((subject) => subject.split('.')[2] ?? '');
  if (runs.length === 0) return 'it has no run at all';
  const more = runs.length > maxNamed ? ` and ${runs.length - maxNamed} more` : '';
  return `it has ${runs.sort().slice(0, maxNamed).join(', ')}${more}`;
}
