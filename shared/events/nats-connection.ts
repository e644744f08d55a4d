// One connection to JetStream: it lives until it is lost and is then done for; reconnecting is
// nats-bus.ts. It makes sure that a stream takes the events, and publishes one at a time.

import { maskSecrets, printable } from '../problems.js';
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
  type MsgHdrs,
  type NatsConnection,
} from 'nats';
import { subjectsOfAll } from './bus.js';
import type { QueuedEvent } from './event-queue.js';
import { parseNatsUrl, reachNats, type NatsAddress, type NatsLocation } from './nats-url.js';

/** The stream that is created when no stream takes Lockstep's subjects yet. */
const streamName = 'LOCKSTEP';

const connectTimeoutMs = 5_000;
const publishTimeoutMs = 5_000;
const pingIntervalMs = 5_000;
const dayMs = 86_400_000;
/** How long the server knows a message id again. */
const duplicateWindowMs = 600_000;

/** Id of the message with an event: that of the event, and when its run was made. */
export function messageIdOf({ id }: { readonly id: string }, madeAt?: string): string {
  return madeAt === undefined ? id : `${id}@${madeAt}`;
}

/** When the run was made that a message is about; undefined: it doesn't say. */
export function madeAtOf(headers: MsgHdrs | undefined): string | undefined {
  return /@(\d{4}-[\dTZ:.-]{1,40})$/.exec(headers?.get('Nats-Msg-Id') ?? '')?.[1];
}

export interface EventConnection {
  /** Resolves when the connection is lost or closed. */
  readonly lost: Promise<void>;
  /** Publishes one event; done when the server has stored it. Throws when that is not known. */
  publish(event: QueuedEvent): Promise<void>;
  /** Whether the newest event under the subject is this one: was it stored after all? */
  isNewest(event: QueuedEvent): Promise<boolean>;
  close(): Promise<void>;
}

/** Connects once; whoever uses it connects anew when it is lost. */
export function connectOnce(location: NatsLocation): Promise<NatsConnection> {
  return connect({
    ...reachNats(location),
    name: 'lockstep',
    reconnect: false,
    timeout: connectTimeoutMs,
    pingInterval: pingIntervalMs,
    maxPingOut: 2,
  });
}

/** Logs in and looks for JetStream; gives the server as it is shown, or throws the reason. */
export async function tryEventBus({ url, login }: NatsAddress): Promise<string> {
  const location = parseNatsUrl(url, undefined, login);
  try {
    const connection = await connectOnce(location);
    try {
      await connection.jetstreamManager({ timeout: publishTimeoutMs });
    } finally {
      await connection.close();
    }
  } catch (error) {
    throw new Error(`${location.shown}: ${reasonOfFailure(error)}`, { cause: error });
  }
  return location.shown;
}

/** Connects and finds or creates the stream that takes `subject`; throws when either fails. */
export async function openEventConnection(
  location: NatsLocation,
  subject: string,
): Promise<EventConnection> {
  const connection = await connectOnce(location);
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
      try {
        await client.publish(subject, body, { msgID: id, timeout: publishTimeoutMs });
      } catch (error) {
        throw isUnheard(error) ? new NoStream(subject) : error;
      }
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

/** No stream takes events of this subject: one was made by hand, or deleted since. */
class NoStream extends Error {
  constructor(subject: string) {
    super(`no stream takes ${subject}; one must take ${subjectsOfAll}`);
  }
}

function isUnheard(error: unknown): boolean {
  const isAnswer = error instanceof NatsError && error.api_error !== undefined;
  return error instanceof NatsError && error.code === ErrorCode.NoResponders && !isAnswer;
}

/** Whether JetStream answers that there is no such stream or message. */
export function isNotFound(error: unknown): boolean {
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

/** The name of the stream that takes a subject. */
export async function findStream(
  manager: JetStreamManager,
  subject: string,
): Promise<string | undefined> {
  try {
    return await manager.streams.find(subject);
  } catch (error) {
    if (isNotFound(error) || /no stream matches/.test((error as Error).message)) return undefined;
    throw error;
  }
}

/** Numbers of JetStream's answers: it is off for the account or the server; its stream is other. */
const jetStreamOff = new Set([10_039, 10_076]);
const otherStream = new Set([10_058, 10_065]);

/** The server's own words for a refusal: a full stream, a limit, a permission; else undefined. */
export function serverRefusal(error: unknown): string | undefined {
  if (error instanceof NoStream) return error.message;
  if (!(error instanceof NatsError)) return undefined;
  const { api_error: answer, code, message } = error;
  if (answer === undefined)
    return code === ErrorCode.PermissionsViolation ? inItsWords(message) : undefined;
  const number = answer.err_code ?? 0;
  if (jetStreamOff.has(number)) return undefined;
  const hint = otherStream.has(number) ? `; a stream must take ${subjectsOfAll}` : '';
  return inItsWords(answer.description) + hint;
}

/** The name of an inbox is another one each time. */
function inItsWords(text: string): string {
  const words = serverText(text).replace(/_INBOX\.[\w.*]+/g, '_INBOX.>');
  return `it says "${words.replace(/^'|'$/g, '').replaceAll('"', "'")}"`;
}

/** A server's text, as short as a line. */
function serverText(text: string): string {
  return maskSecrets(printable(text).slice(0, 200));
}

/** Whether the server will never take this event, so that trying again is useless. */
export function isRefusedForGood(error: unknown): boolean {
  if (!(error instanceof NatsError)) return false;
  return error.code === ErrorCode.MaxPayloadExceeded || error.api_error?.code === 400;
}

/** By Node's and OpenSSL's codes; some servers close a connection without a word. */
function socketRefusal(code: string): string | undefined {
  if (/^(SELF_SIGNED_CERT|DEPTH_ZERO_SELF|UNABLE_TO_(VERIFY|GET_ISSUER))/.test(code))
    return 'its certificate is signed by an unknown authority: LOCKSTEP_NATS_CA names its file';
  if (code === 'ERR_TLS_CERT_ALTNAME_INVALID') return 'its certificate is for another host';
  if (code === 'ECONNRESET') return 'it closes the connection';
  if (code === 'CERT_HAS_EXPIRED') return 'its certificate has expired';
  if (/^ERR_SSL_.*_ALERT_.*(CERT|UNKNOWN_CA)/.test(code))
    return 'it asks for a certificate that it knows: LOCKSTEP_NATS_CERT and LOCKSTEP_NATS_KEY';
  return undefined;
}

/** Why a connection failed, in words an operator can act on; no credentials in it. */
export function reasonOfFailure(error: unknown): string {
  const { code, message } = error as Partial<NatsError>;
  const refusal = serverRefusal(error) ?? socketRefusal(String(code));
  if (refusal !== undefined) return refusal;
  switch (code) {
    case ErrorCode.ConnectionRefused:
      return 'nothing listens there';
    case ErrorCode.AuthorizationViolation:
    case ErrorCode.AuthenticationExpired:
      return 'it refuses the credentials';
    case ErrorCode.NoResponders:
    case ErrorCode.JetStreamNotEnabled:
      return 'JetStream is not enabled there (start nats-server with -js)';
    case ErrorCode.Tls:
    case ErrorCode.ServerOptionNotAvailable:
      return "TLS can't be agreed on: is it on there?";
    case ErrorCode.Timeout:
    case ErrorCode.ConnectionTimeout:
      return 'it does not answer';
    default:
      return serverText(message ?? code ?? 'it failed');
  }
}
