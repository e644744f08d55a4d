// One connection to JetStream, from the url the operator wrote: it lives until it is lost and is
// then done for; reconnecting is nats-bus.ts. It makes sure that a stream takes the events, and
// publishes one at a time.

import { OperatorError, maskSecrets } from '../problems.js';
import {
  connect,
  DiscardPolicy,
  ErrorCode,
  nanos,
  NatsError,
  RetentionPolicy,
  StorageType,
  type JetStreamClient,
  type JetStreamManager,
  type NatsConnection,
} from 'nats';
import { subjectsOfAll } from './bus.js';
import type { QueuedEvent } from './event-queue.js';

/** A parsed NATS url. */
export interface NatsLocation {
  /** "nats://host:4222", no credentials: for messages. */
  readonly shown: string;
  /** "host:port", one or more of a cluster. */
  readonly servers: readonly string[];
  readonly isTls: boolean;
  readonly user?: string;
  readonly password?: string;
  readonly token?: string;
}

/** Parses "nats://[user:password@|token@]host:4222[,host2:4222]"; also tls://. */
export function parseNatsUrl(url: string): NatsLocation {
  const refuse = (hint: string): never => {
    throw new OperatorError('this is not the url of an event bus', [
      {
        key: 'LOCKSTEP_NATS_URL',
        given: maskSecrets(url),
        allowed: 'nats://host:4222, tls://host:4222, with user:password@ or token@ if need be',
        hint,
      },
    ]);
  };
  const match = /^(nats|tls):\/\/(?:(.*)@)?([^@]+?)\/*$/.exec(url);
  if (!match) return refuse('it starts with nats:// or tls://');
  const [, scheme, login, hosts = ''] = match;
  const servers = hosts.split(',').map((host) => host.replace(/^(nats|tls):\/\//, ''));
  if (!servers.every((server) => /^(\[[0-9a-fA-F:]+\]|[A-Za-z0-9._-]+)(:\d{1,5})?$/.test(server)))
    return refuse('after the credentials comes host:port');
  const shown = servers.map((server) => `${scheme}://${server}`).join(',');
  return { shown, servers, isTls: scheme === 'tls', ...loginOf(login) };
}

function loginOf(login: string | undefined): Pick<NatsLocation, 'user' | 'password' | 'token'> {
  if (login === undefined) return {};
  const colon = login.indexOf(':');
  if (colon < 0) return { token: decode(login) };
  return { user: decode(login.slice(0, colon)), password: decode(login.slice(colon + 1)) };
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/** Servers and login, as the client's options say it. */
export function reachNats({ servers, isTls, user, password, token }: NatsLocation) {
  return {
    servers: [...servers],
    ...(isTls ? { tls: {} } : {}),
    ...(user === undefined ? {} : { user, pass: password ?? '' }),
    ...(token === undefined ? {} : { token }),
  };
}

/** The stream that is created when no stream takes Lockstep's subjects yet. */
const streamName = 'LOCKSTEP';

const connectTimeoutMs = 5_000;
const publishTimeoutMs = 5_000;
const pingIntervalMs = 5_000;
const dayMs = 86_400_000;
/** How long the server knows a message id again. */
const duplicateWindowMs = 600_000;

export interface EventConnection {
  /** Resolves when the connection is lost or closed. */
  readonly lost: Promise<void>;
  /** Publishes one event; done when the server has stored it. Throws when that is not known. */
  publish(event: QueuedEvent): Promise<void>;
  /** Whether the newest event under the subject is this one: was it stored after all? */
  isNewest(event: QueuedEvent): Promise<boolean>;
  close(): Promise<void>;
}

/** Connects and finds or creates the stream that takes `subject`; throws when either fails. */
export async function openEventConnection(
  location: NatsLocation,
  subject: string,
): Promise<EventConnection> {
  const connection = await connect({
    ...reachNats(location),
    name: 'lockstep',
    reconnect: false,
    timeout: connectTimeoutMs,
    pingInterval: pingIntervalMs,
    maxPingOut: 2,
  });
  try {
    const manager = await connection.jetstreamManager({ timeout: publishTimeoutMs });
    const stream = await ensureStream(manager, subject);
    return wrap(connection, connection.jetstream(), manager, stream);
  } catch (error) {
    await connection.close();
    throw error;
  }
}

function wrap(
  connection: NatsConnection,
  client: JetStreamClient,
  manager: JetStreamManager,
  stream: string,
): EventConnection {
  return {
    lost: connection.closed().then(() => undefined),
    async publish({ subject, body, id }) {
      await client.publish(subject, body, { msgID: id, timeout: publishTimeoutMs });
    },
    async isNewest({ subject, id }) {
      try {
        const newest = await manager.streams.getMessage(stream, { last_by_subj: subject });
        return newest.header.get('Nats-Msg-Id') === id;
      } catch (error) {
        if (isNotFound(error)) return false;
        throw error;
      }
    },
    close: () => connection.close(),
  };
}

function isNotFound(error: unknown): boolean {
  return error instanceof NatsError && (error.api_error?.code === 404 || error.code === '404');
}

// A stream of any name that takes the subjects will do: the operator may have made it.
async function ensureStream(manager: JetStreamManager, subject: string): Promise<string> {
  const found = await findStream(manager, subject);
  if (found !== undefined) return found;
  try {
    await manager.streams.add({
      name: streamName,
      subjects: [subjectsOfAll],
      retention: RetentionPolicy.Limits,
      storage: StorageType.File,
      discard: DiscardPolicy.Old,
      max_age: nanos(30 * dayMs),
      max_bytes: 1024 ** 3,
      duplicate_window: nanos(duplicateWindowMs),
    });
    return streamName;
  } catch (error) {
    // Another run may have made it, differently, at the same moment.
    const made = await findStream(manager, subject);
    if (made === undefined) throw error;
    return made;
  }
}

async function findStream(manager: JetStreamManager, subject: string): Promise<string | undefined> {
  try {
    return await manager.streams.find(subject);
  } catch (error) {
    if (isNotFound(error) || /no stream matches/.test((error as Error).message)) return undefined;
    throw error;
  }
}

/** Whether the server will never take this event, so that trying again is useless. */
export function isRefusedForGood(error: unknown): boolean {
  if (!(error instanceof NatsError)) return false;
  return error.code === ErrorCode.MaxPayloadExceeded || error.api_error?.code === 400;
}

/** Why a connection failed, in words an operator can act on; no credentials in it. */
export function reasonOfFailure(error: unknown): string {
  const { code, message } = error as { code?: string; message?: string };
  switch (code) {
    case ErrorCode.ConnectionRefused:
      return 'nothing listens there';
    case ErrorCode.AuthorizationViolation:
    case ErrorCode.AuthenticationExpired:
      return 'it refuses the credentials';
    case ErrorCode.NoResponders:
    case ErrorCode.JetStreamNotEnabled:
      return 'JetStream is not enabled there (start nats-server with -js)';
    case ErrorCode.Timeout:
    case ErrorCode.ConnectionTimeout:
      return 'it does not answer';
    default:
      return code ?? (message ?? 'it failed').slice(0, 200);
  }
}
