// HTTP/2 by hand: frames that no library would send, for tests of what a stranger can do.

/** What opens every connection. */
export const preface = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n');

/** A frame; for types and flags see RFC 9113, section 6. */
export function frameOf(
  type: number,
  flags: number,
  stream: number,
  payload: Buffer = Buffer.alloc(0),
): Buffer {
  const head = Buffer.alloc(9);
  head.writeUIntBE(payload.length, 0, 3);
  head.writeUInt8(type, 3);
  head.writeUInt8(flags, 4);
  head.writeUInt32BE(stream, 5);
  return Buffer.concat([head, payload]);
}

/** SETTINGS with these values by their numbers: 4 is the initial window, 6 the header list. */
export function settingsFrame(values: Readonly<Record<number, number>> = {}): Buffer {
  const pairs = Object.entries(values).map(([key, value]) => {
    const pair = Buffer.alloc(6);
    pair.writeUInt16BE(Number(key), 0);
    pair.writeUInt32BE(value, 2);
    return pair;
  });
  return frameOf(4, 0, 0, Buffer.concat(pairs));
}

export const pingFrame = frameOf(6, 0, 0, Buffer.alloc(8));

/** Gives up a stream, with the error CANCEL. */
export function resetFrame(stream: number): Buffer {
  return frameOf(3, 0, stream, Buffer.of(0, 0, 0, 8));
}

/** The headers of a gRPC call; `more` are further ones, without END_HEADERS if there are any. */
export function callFrame(stream: number, path: string, hasMore = false): Buffer {
  const literal = (text: string): Buffer =>
    Buffer.concat([Buffer.of(text.length), Buffer.from(text)]);
  const headers = Buffer.concat([
    // :method POST, :scheme http, then :authority, :path, content-type and te as literals.
    ...[Buffer.of(0x83, 0x86, 0x01), literal('a'), Buffer.of(0x04), literal(path)],
    ...[Buffer.of(0x0f, 0x10), literal('application/grpc')],
    ...[Buffer.of(0), literal('te'), literal('trailers')],
  ]);
  return frameOf(1, hasMore ? 0 : 4, stream, headers);
}

/** A header of 8,000 bytes after another, as one more frame of a list that never ends. */
export function continuationFrame(stream: number): Buffer {
  const name = 'x'.repeat(100);
  const value = Buffer.alloc(8_000, 0x61);
  // Lengths over 126 take three bytes in HPACK: 127, and the rest in sevens.
  const rest = value.length - 127;
  const length = Buffer.of(127, (rest & 127) | 128, rest >> 7);
  const header = Buffer.concat([Buffer.of(0, name.length), Buffer.from(name), length, value]);
  return frameOf(9, 0, stream, header);
}

/** A message of a call, with any length in its head; `isLast` ends the caller's side. */
export function messageFrame(
  stream: number,
  body: Buffer,
  length = body.length,
  isLast = false,
): Buffer {
  const head = Buffer.alloc(5);
  head.writeUInt32BE(length, 1);
  return frameOf(0, isLast ? 1 : 0, stream, Buffer.concat([head, body]));
}
