// The door of a gRPC server: whoever is known may stay and call, and strangers leave in time, however
// many they are and whatever they say.

import assert from 'node:assert/strict';
import { afterEach, test } from 'node:test';
import {
  Client,
  credentials,
  Server,
  type MethodDefinition,
  type ServerDuplexStream,
  type ServerUnaryCall,
} from '@grpc/grpc-js';
import { boundAnswers, countCalls } from '../../../shared/door/answers.js';
import { Door, type DoorLimits } from '../../../shared/door/door.js';
import { flood, type Target } from '../../support/strangers/flood.js';
import {
  callFrame,
  messageFrame,
  pingFrame,
  preface,
  resetFrame,
  settingsFrame,
} from '../../support/strangers/raw-http2.js';
import { until } from '../../support/until.js';

const raw = (bytes: Buffer): Buffer => bytes;
const method = (name: string, isStream: boolean): MethodDefinition<Buffer, Buffer> => ({
  path: `/test.Echo/${name}`,
  requestStream: isStream,
  responseStream: isStream,
  ...{ requestSerialize: raw, requestDeserialize: raw },
  ...{ responseSerialize: raw, responseDeserialize: raw },
});
const methods = {
  Once: method('Once', false),
  /** Its callers are known at once. */
  Session: method('Session', true),
  Listen: method('Listen', true),
};

interface Echo {
  readonly target: Target;
  readonly address: string;
  /** Who was turned away, and why. */
  readonly cuts: { readonly address: string; readonly reason: string }[];
  /** Calls of Listen that were heard. */
  sessions(): number;
}

const closing: (() => void)[] = [];
afterEach(() => closing.splice(0).forEach((close) => close()));

/** A server whose sessions are vouched for as they open, and which answers with so many `bytes`. */
async function startEcho(limits: Partial<DoorLimits>, bytes = 4): Promise<Echo> {
  const cuts: { address: string; reason: string }[] = [];
  const door = new Door(limits, (address, reason) => cuts.push({ address, reason }));
  let listened = 0;
  const server = new Server({
    interceptors: [boundAnswers(door, '/test.Echo/O', []), countCalls(door)],
  });
  server.addService(methods, {
    Once: (_: ServerUnaryCall<Buffer, Buffer>, reply: (e: null, answer: Buffer) => void) =>
      reply(null, Buffer.alloc(bytes)),
    Listen: (call: ServerDuplexStream<Buffer, Buffer>) => {
      listened += 1;
      call.on('error', () => undefined);
    },
    Session: (call: ServerDuplexStream<Buffer, Buffer>) => {
      const release = door.vouch(call.getPeer());
      call.on('data', (bytes: Buffer) => call.write(bytes));
      call.on('error', release);
      call.on('cancelled', release);
      call.on('end', () => (release(), call.end()));
    },
  });
  const port = await door.listen(server, '127.0.0.1:0');
  closing.push(() => {
    door.close();
    server.forceShutdown();
  });
  return {
    target: { host: '127.0.0.1', port },
    address: `127.0.0.1:${port}`,
    cuts,
    sessions: () => listened,
  };
}

function dial(address: string): Client {
  const client = new Client(address, credentials.createInsecure(), {
    'grpc.use_local_subchannel_pool': 1,
  });
  closing.push(() => client.close());
  return client;
}

function once(client: Client): Promise<number> {
  const { path } = methods.Once;
  return new Promise((resolve, reject) =>
    client.makeUnaryRequest(path, raw, raw, Buffer.alloc(1), (error, answer) =>
      error === null ? resolve(answer?.length ?? 0) : reject(error),
    ),
  );
}

/** Opens a session that says one thing; gives what says another one, and hears it. */
async function openSession(client: Client): Promise<() => Promise<void>> {
  const stream = client.makeBidiStreamRequest(methods.Session.path, raw, raw);
  let heard = 0;
  let trouble: Error | undefined;
  stream.on('data', () => (heard += 1));
  stream.on('error', (error) => (trouble = error));
  closing.push(() => stream.cancel());
  const say = async (): Promise<void> => {
    const before = heard;
    stream.write(Buffer.from('a'));
    await until(() => heard > before || trouble !== undefined, 'an echo');
    assert.equal(trouble, undefined);
  };
  await say();
  return say;
}

test('who says nothing leaves in time, and who is known stays', async () => {
  const { target, address, cuts } = await startEcho({ silentMs: 300, unknownMs: 600 });
  const say = await openSession(dial(address));
  const { opened, ended } = await flood(target, { connections: 20, holdMs: 10_000 });
  assert.deepEqual([opened, ended], [20, 20]);
  assert.equal(cuts.length, 20);
  assert.deepEqual(cuts[0], { address: '127.0.0.1', reason: 'it said nothing for 0.3 s' });
  await flood(target, {
    ...{ connections: 1, holdMs: 10_000 },
    say: () => [Buffer.concat([preface, settingsFrame()])],
  });
  assert.equal(cuts.at(-1)?.reason, 'nobody knew it for 0.6 s');
  await say();
});

test('who is vouched for no longer leaves in time', async () => {
  const { address, cuts } = await startEcho({ unknownMs: 300 });
  const stream = dial(address).makeBidiStreamRequest(methods.Session.path, raw, raw);
  stream.on('error', () => undefined);
  stream.write(Buffer.from('a'));
  await new Promise((resolve) => stream.once('data', resolve));
  assert.equal(cuts.length, 0);
  stream.cancel();
  await until(() => cuts.length > 0, 'it is ended');
});

test('however many come, some stay, and who calls is heard', async () => {
  const { target, address, cuts } = await startEcho({ unknown: 16, silentMs: 20_000 });
  const say = await openSession(dial(address));
  const client = dial(address);
  const crowd = flood(target, { connections: 600, holdMs: 30_000, atOnce: 50 });
  await until(() => cuts.length >= 100, 'a crowd', 60_000);
  assert.equal(await once(client), 4);
  await until(() => cuts.length >= 580, 'all have come', 60_000);
  assert.equal(await once(dial(address)), 4);
  await say();
  closing.push(() => void crowd);
  assert.match(cuts.at(-1)?.reason ?? '', /^more than 16 connections that nobody knows$/);
});

test('who is unknown sends little', async () => {
  const { target, cuts } = await startEcho({ unknownBytes: 4_096 });
  const { ended } = await flood(target, {
    ...{ connections: 2, holdMs: 10_000 },
    say: function* () {
      yield Buffer.concat([preface, settingsFrame()]);
      for (let i = 0; i < 10_000; i++) yield pingFrame;
    },
  });
  assert.equal(ended, 2);
  assert.match(cuts[0]?.reason ?? '', /^it sent more than 4096 bytes, and nobody knows it$/);
});

test('calls that are given up as they are made end the connection, and few are heard', async () => {
  const { target, cuts, sessions } = await startEcho({ unknownCalls: 8 });
  const { ended } = await flood(target, {
    ...{ connections: 2, holdMs: 30_000 },
    say: function* () {
      yield Buffer.concat([preface, settingsFrame()]);
      for (let stream = 1; stream < 4_000; stream += 2)
        yield Buffer.concat([callFrame(stream, methods.Listen.path), resetFrame(stream)]);
    },
  });
  assert.equal(ended, 2);
  assert.equal(cuts[0]?.reason, 'it made more than 8 calls, and nobody knows it');
  assert.ok(sessions() <= 16, `${sessions()} were heard`);
});

const answerBytes = 256 * 1024;

test('answers that nobody reads end their connections, eldest first', async () => {
  const { target, address, cuts } = await startEcho({}, answerBytes);
  const crowd = flood(target, {
    ...{ connections: 30, holdMs: 15_000, reads: false },
    say: function* () {
      yield Buffer.concat([preface, settingsFrame({ 4: 0 })]);
      for (const stream of [1, 3])
        yield Buffer.concat([
          callFrame(stream, methods.Once.path),
          messageFrame(stream, Buffer.alloc(1), 1, true),
        ]);
    },
  });
  const isTold = (): boolean =>
    cuts.some(({ reason }) => reason === 'it asks for more than it reads');
  await Promise.race([crowd, until(isTold, 'the eldest goes', 60_000)]);
  assert.ok(isTold(), JSON.stringify(cuts));
  assert.equal(await once(dial(address)), answerBytes);
});
