// Encodes the orders to enter a world. All members are told the same long list of members, each
// with its own source of the state: the list is encoded once, for a thousand members a thousand
// times less work. The bytes are those of the plain encoding.

import type { WireMessage } from './codec.js';

type Serialize = (message: WireMessage) => Buffer;

/** Key of `CoordinatorMessage.world` on the wire: field 2, with a length. */
const worldKey = 0x12;

/** The same serializer, which remembers the list of members that it has encoded last. */
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
