// Between checked messages and the bytes of the wire: proto/lockstep/v1/control.proto.

import {
  loadPackageDefinition,
  type ChannelOptions,
  type ServiceClientConstructor,
} from '@grpc/grpc-js';
import { loadSync } from '@grpc/proto-loader';
import type { z } from 'zod';
import { packageFile } from '../paths.js';
import { firstIssue } from '../problems.js';
import type { CoordinatorMessage, WorkerMessage } from './messages.js';
import type { TraceAnswer, TraceOrder, TraceReply } from './tracing.js';

/** A message as proto-loader gives it: the name of the one set field, and the field itself. */
export interface WireMessage {
  readonly body?: string;
  readonly [field: string]: unknown;
}

/** Wraps a tagged message for the wire: { kind: 'halted', ... } becomes { halted: { ... } }. */
export function toWire(
  message: WorkerMessage | CoordinatorMessage | TraceOrder | TraceAnswer | TraceReply,
): WireMessage {
  const { kind, ...fields } = message;
  return { [kind]: fields };
}

/** Checks what came off the wire; throws with the field that is wrong. */
export function fromWire<S extends z.ZodType>(schema: S, wire: WireMessage): z.infer<S> {
  const kind = wire.body;
  if (kind === undefined) throw new Error('a message without a body');
  const parsed = schema.safeParse({ ...(wire[kind] as object), kind });
  if (parsed.success) return parsed.data;
  throw new Error(`a bad ${kind} message: ${firstIssue(parsed.error)}`);
}

/** Client constructor (and service definition) of a service of control.proto. */
export function loadService(name: 'Control' | 'Admin'): ServiceClientConstructor {
  const definition = loadSync(packageFile('proto/lockstep/v1/control.proto'), {
    longs: Number,
    enums: String,
    defaults: true,
    oneofs: true,
  });
  const root = loadPackageDefinition(definition) as unknown as {
    lockstep: { v1: Record<typeof name, ServiceClientConstructor> };
  };
  return root.lockstep.v1[name];
}

/** Client constructor (and service definition) of `lockstep.v1.Control`. */
export function loadControlService(): ServiceClientConstructor {
  const Control = loadService('Control');
  const session = Control.service.Session;
  if (session !== undefined) {
    session.responseSerialize = rememberMembers(session.responseSerialize);
    session.requestDeserialize = boundLength(session.requestDeserialize);
  }
  return Control;
}

/** Keys of `WorkerMessage.hello` and `.status` on the wire: fields 1 and 2, with a length. */
const [helloKey, statusKey] = [0x0a, 0x12];

/**
 * The same parser for a worker's messages, which throws before it parses what is longer than any
 * worker would send: a hello has its world's members, a status may have as many suspicions.
 */
export function boundLength(parse: Parse): Parse {
  return (bytes) => {
    const kibs = bytes[0] === helloKey ? 2560 : bytes[0] === statusKey ? 512 : 64;
    if (bytes.length <= 1024 * kibs) return parse(bytes);
    throw new Error(`a message of ${bytes.length} bytes, where ${kibs} KiB are the most`);
  };
}

type Parse = (bytes: Buffer) => WireMessage;

/** Channel options of the control plane, for both sides: dead links are noticed in seconds. */
export const controlChannelOptions: ChannelOptions = {
  'grpc.keepalive_time_ms': 5_000,
  'grpc.keepalive_timeout_ms': 3_000,
  'grpc.keepalive_permit_without_calls': 1,
  'grpc.max_receive_message_length': 4 * 1024 * 1024,
};

type Serialize = (message: WireMessage) => Buffer;

/** Key of `CoordinatorMessage.world` on the wire: field 2, with a length. */
const worldKey = 0x12;

/**
 * The same serializer, which remembers the list of members that it has encoded last. All members of
 * a world get the same long list, each with its own source of the state: for a thousand members
 * that is a thousand times less work. The bytes are those of the plain encoding.
 */
export function rememberMembers(serialize: Serialize): Serialize {
  let known:
    { readonly members: unknown; readonly key: string; readonly bytes: Buffer } | undefined;
  const bodyOf = (world: object): Buffer => withoutHeader(serialize({ world }));
  return (message) => {
    const world = message.world as Readonly<Record<string, unknown>> | undefined;
    if (!Array.isArray(world?.members)) return serialize(message);
    const { source, donor, ...same } = world;
    const key = `${String(same.generation)} ${String(same.step)} ${String(same.until)}`;
    if (known?.members !== world.members || known.key !== key)
      known = { members: world.members, key, bytes: bodyOf(same) };
    // In the order of their numbers, as in the plain encoding: source and donor come last.
    const own = bodyOf({ source, donor });
    const length = lengthOf(known.bytes.length + own.length);
    return Buffer.concat([Buffer.of(worldKey), length, known.bytes, own]);
  };
}

/** A message's body without its key and length. */
function withoutHeader(bytes: Buffer): Buffer {
  let start = 1;
  while ((bytes[start] ?? 0) >= 0x80) start += 1;
  return bytes.subarray(start + 1);
}

/** Protobuf's variable length number. */
function lengthOf(value: number): Buffer {
  const bytes: number[] = [];
  let rest = value;
  for (; rest >= 0x80; rest >>>= 7) bytes.push((rest & 0x7f) | 0x80);
  return Buffer.from([...bytes, rest]);
}
