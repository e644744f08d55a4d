// Mutual TLS between a gRPC server and clients, over real sockets.

import { Client, Metadata, Server, type ServerUnaryCall } from '@grpc/grpc-js';
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { connect as connectTcp } from 'node:net';
import { connect, type ConnectionOptions } from 'node:tls';
import { Door } from '../../../shared/door/door.js';
import { openCertificates, type Certificates } from '../../../shared/tls/certificates.js';
import type { Identity } from '../../../shared/tls/identity.js';
import { mayBe } from '../../../shared/tls/identity.js';
import {
  callerOf,
  callerProblem,
  mutualChannelCredentials,
  mutualChannelOptions,
} from '../../../shared/tls/mutual.js';
import { createTlsFolder } from '../../support/tls/tls-folder.js';

const raw = (bytes: Buffer): Buffer => bytes;
const endings: (() => void)[] = [];
/** What the doors said of those whom they turned away. */
const cuts: string[] = [];
after(() => endings.forEach((end) => end()));

const coordinator = { role: 'coordinator' } as const;
const worker = { role: 'worker', worker: 'w-1' } as const;
const w1 = { run: 'faces', ...worker };

function open(folder: string, holder: Certificates['holder'], lookMs = 20): Certificates {
  const certificates = openCertificates({ folder, holder, lookMs });
  endings.push(certificates.close);
  return certificates;
}

/** A server that answers with who called. */
async function serve(certificates: Certificates): Promise<string> {
  const server = new Server();
  const method = { path: '/t/Who', requestStream: false, responseStream: false } as const;
  const codec = { requestSerialize: raw, requestDeserialize: raw };
  const replies = { responseSerialize: raw, responseDeserialize: raw };
  server.addService(
    { Who: { ...method, ...codec, ...replies } },
    {
      Who: (call: ServerUnaryCall<Buffer, Buffer>, done: (e: null, reply: Buffer) => void) => {
        const problem = callerProblem(call, w1) ?? '';
        done(null, Buffer.from(JSON.stringify({ caller: callerOf(call), problem })));
      },
    },
  );
  const door = new Door({}, (address, reason, detail) =>
    cuts.push([address, reason, detail].join()),
  );
  endings.push(() => (door.close(), server.forceShutdown()));
  return `127.0.0.1:${await door.listen(server, '127.0.0.1:0', certificates)}`;
}

interface Answer {
  readonly caller: readonly Identity[];
  readonly problem: string;
}

function ask(address: string, certificates: Certificates, server: Identity): Promise<Answer> {
  const credentials = mutualChannelCredentials(certificates, (held) => mayBe(held, server));
  const client = new Client(address, credentials, {
    ...mutualChannelOptions,
    'grpc.use_local_subchannel_pool': 1,
  });
  const options = { deadline: Date.now() + 5_000 };
  return new Promise<Answer>((resolve, reject) => {
    client.makeUnaryRequest(
      ...['/t/Who' as const, raw, raw, Buffer.alloc(0), new Metadata(), options],
      (error, reply) =>
        error === null ? resolve(JSON.parse(String(reply)) as Answer) : reject(error),
    );
  }).finally(() => client.close());
}

test('both ends know who the other is, and a place that is not its own is a problem', async () => {
  const { folder } = await createTlsFolder('faces', [coordinator, worker]);
  const address = await serve(open(folder, coordinator));
  const leader = { run: 'faces', ...coordinator };
  const answer = await ask(address, open(folder, worker), leader);
  assert.deepEqual(answer, { caller: [w1], problem: '' });
  const other = await createTlsFolder('flowers', [coordinator, worker]);
  await assert.rejects(ask(address, open(other.folder, worker), leader), /UNAVAILABLE/);
  await assert.rejects(
    ask(address, open(folder, worker), { ...leader, run: 'flowers' }),
    /certificate is of coordinator of faces/,
  );
});

test('a certificate of another run or worker of the same authority is told apart', async () => {
  const { folder, authority } = await createTlsFolder('faces', [coordinator]);
  const address = await serve(open(folder, coordinator));
  const leader = { run: 'faces', ...coordinator };
  const stranger = await createTlsFolder('flowers', [worker], authority);
  const { problem } = await ask(address, open(stranger.folder, worker), leader);
  assert.match(problem, /worker w-1 of flowers, not of worker w-1 of faces/);
});

test('certificates that are replaced count for new connections', async () => {
  const { folder, issue } = await createTlsFolder('faces', [coordinator, worker]);
  const server = open(folder, coordinator);
  const address = await serve(server);
  const renewed = new Promise((resolve) => server.onChange(resolve));
  await issue(coordinator, 'roses');
  await renewed;
  const leader = { run: 'roses', ...coordinator };
  assert.equal((await ask(address, open(folder, worker), leader)).problem, '');
});

/** Knocks with these options of TLS until the connection ends, or for `ms`; gives its sessions. */
function knock(port: number, options: ConnectionOptions, ms?: number): Promise<Buffer[]> {
  const target = { port, host: '127.0.0.1', rejectUnauthorized: false, ALPNProtocols: ['h2'] };
  const sessions: Buffer[] = [];
  return new Promise((resolve) => {
    const socket = connect({ ...target, ...options });
    socket.on('session', (session) => sessions.push(session));
    socket.on('error', () => undefined);
    socket.on('close', () => resolve(sessions));
    socket.resume();
    if (ms !== undefined)
      socket.once('secureConnect', () => setTimeout(() => socket.destroy(), ms));
  });
}

test('nobody gets in who shows no certificate of the authority, and the log says why', async () => {
  const { folder } = await createTlsFolder('faces', [coordinator, worker]);
  const accepted = open(folder, worker).now();
  const port = Number((await serve(open(folder, coordinator))).split(':')[1]);
  const other = await createTlsFolder('faces', [worker]);
  const { cert, key } = open(other.folder, worker).now();
  cuts.length = 0;
  for (const options of [
    { maxVersion: 'TLSv1.2' as const },
    {},
    { cert, key },
    { ...accepted, ALPNProtocols: [] },
  ])
    await knock(port, options);
  const clear = connectTcp(port, '127.0.0.1').end('GET / HTTP/1.1\r\n\r\n');
  await new Promise((resolve) => clear.on('error', resolve).on('close', resolve).resume());
  const foreign = 'its certificate is not of an authority in ca.crt';
  assert.deepEqual(cuts, [
    '127.0.0.1,it does not speak TLS 1.3,',
    '127.0.0.1,it shows no certificate,',
    `127.0.0.1,${foreign},UNABLE_TO_VERIFY_LEAF_SIGNATURE`,
    '127.0.0.1,it does not speak HTTP/2,',
    '127.0.0.1,it does not speak TLS,',
  ]);
});

test('who speaks an older TLS reads why it is not let in', async () => {
  const { folder } = await createTlsFolder('faces', [coordinator]);
  const port = Number((await serve(open(folder, coordinator))).split(':')[1]);
  const options = { port, host: '127.0.0.1', rejectUnauthorized: false };
  const error = await new Promise<Error>((resolve) => {
    const socket = connect({ ...options, maxVersion: 'TLSv1.2', ALPNProtocols: ['h2'] });
    socket.on('error', resolve);
    socket.on('end', () => resolve(new Error('ended')));
  });
  assert.match(error.message, /alert|certificate|protocol/i);
});

test('no session is resumed: each connection shows its certificate', async () => {
  const { folder } = await createTlsFolder('faces', [coordinator, worker]);
  const { cert, key } = open(folder, worker).now();
  const port = Number((await serve(open(folder, coordinator))).split(':')[1]);
  const sessions = await knock(port, { cert, key }, 500);
  assert.ok(sessions.length > 0, 'none is offered, and this test says nothing');
  cuts.length = 0;
  for (const session of sessions) await knock(port, { session });
  assert.deepEqual(
    cuts,
    sessions.map(() => '127.0.0.1,it shows no certificate,'),
  );
});
