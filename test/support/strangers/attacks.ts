// What a stranger does to a door that it can reach, from bytes at random to HTTP/2 that no library
// would send. Each attack ends by itself, and says what became of its connections.

import { randomBytes } from 'node:crypto';
import { flood, type FloodOutcome, type Target } from './flood.js';
import {
  callFrame,
  continuationFrame,
  frameOf,
  messageFrame,
  pingFrame,
  preface,
  resetFrame,
  settingsFrame,
} from './raw-http2.js';

/** Who listens there: the coordinator, a lane of a worker, or a page or metrics. */
export type DoorKind = 'control' | 'exchange' | 'http';

export interface Attack {
  readonly name: string;
  readonly on: readonly DoorKind[];
  /** Whether the server has to end the attacker's connections while the attack lasts. */
  readonly isEnded: boolean;
  run(target: Target, kind: DoorKind): Promise<FloodOutcome>;
}

const everywhere: readonly DoorKind[] = ['control', 'exchange', 'http'];
const grpcOnly: readonly DoorKind[] = ['control', 'exchange'];

/** The methods behind a door. */
const methodsOf: Readonly<Record<DoorKind, readonly string[]>> = {
  control: [
    '/lockstep.v1.Control/Session',
    '/lockstep.v1.Admin/GetStatus',
    '/lockstep.v1.Admin/GetPicture',
    '/lockstep.v1.Admin/Scale',
    '/lockstep.v1.Admin/InjectFault',
    '/lockstep.v1.Admin/Trace',
  ],
  exchange: ['/lockstep.v1.Exchange/Pull', '/lockstep.v1.Exchange/State'],
  http: ['/'],
};

/** The same frame so often, in pieces of some 64 KiB, after what opens a connection. */
function* repeated(first: Buffer, one: Buffer, times: number): Generator<Buffer> {
  yield first;
  const perPiece = Math.max(1, Math.floor(65_536 / one.length));
  const piece = Buffer.concat(Array.from({ length: perPiece }, () => one));
  for (let said = 0; said < times; said += perPiece) yield piece;
}

const opening = Buffer.concat([preface, settingsFrame()]);

/** Calls that are given up as soon as they are made. */
function* rapidResets(path: string, times: number): Generator<Buffer> {
  yield opening;
  for (let made = 0; made < times; made += 256)
    yield Buffer.concat(
      Array.from({ length: 256 }, (_, i) => 2 * (made + i) + 1).flatMap((stream) => [
        callFrame(stream, path),
        resetFrame(stream),
      ]),
    );
}

/** Calls with complete requests, whose answers have no window to come through. */
function* unreadCalls(paths: readonly string[], times: number): Generator<Buffer> {
  yield Buffer.concat([preface, settingsFrame({ 4: 0 })]);
  for (let i = 0; i < times; i++) {
    const stream = 2 * i + 1;
    const path = paths[i % paths.length];
    yield Buffer.concat([
      callFrame(stream, path),
      messageFrame(stream, Buffer.alloc(0), 0, !path.endsWith('Session')),
    ]);
  }
}

/** A message of any bytes to each method. */
function* garbledCalls(paths: readonly string[]): Generator<Buffer> {
  yield opening;
  for (const [i, path] of paths.entries()) {
    const stream = 2 * i + 1;
    yield Buffer.concat([
      callFrame(stream, path),
      messageFrame(stream, randomBytes(1 + ((i * 37) % 3_000)), undefined, true),
    ]);
  }
}

/** A message whose head announces more than is allowed, and its bytes without an end. */
function* endlessMessage(path: string, mebibytes: number): Generator<Buffer> {
  yield Buffer.concat([
    ...[opening, callFrame(1, path)],
    messageFrame(1, Buffer.alloc(0), 0x7fff_ffff),
  ]);
  for (let said = 0; said < mebibytes * 64; said++) yield frameOf(0, 0, 1, Buffer.alloc(16_384));
}

export const attacks: readonly Attack[] = [
  {
    ...{ name: 'random bytes', on: everywhere, isEnded: true },
    run: (target) =>
      flood(target, {
        ...{ connections: 64, holdMs: 8_000 },
        say: function* () {
          for (let i = 0; i < 16; i++) yield randomBytes(16_384);
        },
      }),
  },
  {
    ...{ name: 'HTTP/1', on: grpcOnly, isEnded: true },
    run: (target) =>
      flood(target, {
        ...{ connections: 64, holdMs: 8_000 },
        say: () => [Buffer.from('POST /Session HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n')],
      }),
  },
  {
    ...{ name: 'a header of a request that never ends', on: ['http'], isEnded: true },
    run: (target) =>
      flood(target, {
        ...{ connections: 64, holdMs: 15_000 },
        say: () => repeated(Buffer.from('GET / HTTP/1.1\r\n'), Buffer.from('a: b\r\n'), 60_000),
      }),
  },
  {
    ...{ name: 'a flood of SETTINGS', on: grpcOnly, isEnded: true },
    run: (target) =>
      flood(target, {
        ...{ connections: 8, holdMs: 15_000, reads: false },
        say: () => repeated(preface, settingsFrame({ 4: 1 }), 1e6),
      }),
  },
  {
    ...{ name: 'a flood of PING', on: grpcOnly, isEnded: true },
    run: (target) =>
      flood(target, {
        ...{ connections: 8, holdMs: 15_000 },
        say: () => repeated(opening, pingFrame, 1e6),
      }),
  },
  {
    ...{ name: 'rapid reset', on: grpcOnly, isEnded: true },
    run: (target, kind) =>
      flood(target, {
        ...{ connections: 8, holdMs: 15_000 },
        say: () => rapidResets(methodsOf[kind][0], 1e6),
      }),
  },
  {
    ...{ name: 'a list of headers without an end', on: grpcOnly, isEnded: true },
    run: (target, kind) =>
      flood(target, {
        ...{ connections: 8, holdMs: 15_000 },
        say: () =>
          repeated(
            Buffer.concat([opening, callFrame(1, methodsOf[kind][0], true)]),
            continuationFrame(1),
            20_000,
          ),
      }),
  },
  {
    ...{ name: 'a message over the limit', on: grpcOnly, isEnded: false },
    run: (target, kind) =>
      flood(target, {
        ...{ connections: 16, holdMs: 5_000 },
        say: (index) => endlessMessage(methodsOf[kind][index % methodsOf[kind].length], 64),
      }),
  },
  {
    ...{ name: 'malformed messages', on: grpcOnly, isEnded: false },
    run: (target, kind) =>
      flood(target, {
        ...{ connections: 128, holdMs: 3_000 },
        say: () => garbledCalls(methodsOf[kind]),
      }),
  },
  {
    ...{ name: 'answers that are not read', on: grpcOnly, isEnded: false },
    run: (target, kind) =>
      flood(target, {
        ...{ connections: 100, holdMs: 10_000, reads: false },
        say: () => unreadCalls(methodsOf[kind], 200),
      }),
  },
  {
    ...{ name: 'pages that are not read', on: ['http'], isEnded: false },
    run: (target) =>
      flood(target, {
        ...{ connections: 100, holdMs: 5_000, reads: false },
        say: () =>
          repeated(
            Buffer.alloc(0),
            Buffer.from('GET /api/run HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n'),
            20_000,
          ),
      }),
  },
  {
    ...{ name: 'idle connections', on: everywhere, isEnded: true },
    run: (target, kind) =>
      flood(target, { connections: kind === 'control' ? 10_000 : 1_500, holdMs: 15_000 }),
  },
];
