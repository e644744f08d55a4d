// What the exchange does when the world is hostile: peers killed, frozen, silent, unreachable or
// of another generation, and strangers that send nonsense. Real gRPC, real processes.

import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { test } from 'node:test';
import * as grpc from '@grpc/grpc-js';

import { chunkBytes } from '../../../shared/plan/step-vector.js';
import type { FrameHeader } from '../../../worker/exchange/core/messages.js';
import { headerBytes, writeHeader } from '../../../worker/exchange/frame.js';
import { pullMethod, serializeHello, serializePull } from '../../../worker/exchange/wire.js';
import type { ChildTask } from './exchange-child.js';
import { withChildren, type Child } from './exchange-children.js';
import {
  PeerLostError,
  contribute,
  createVectors,
  localWorlds,
  reference,
  resultOf,
  sumsOf,
  withWorkers,
  worldOf,
} from './exchange-worlds.js';

const raw = (bytes: Buffer): Buffer => bytes;
const impatient = { aliveMs: 100, silenceMs: 600 };

test('three processes agree to the bit, and end by themselves after close', async () => {
  await withChildren(3, async (children) => {
    const world = worldOf(
      1,
      children.map((child) => child.address),
    );
    const floats = chunkBytes / 4 + 321;
    children.forEach((child, rank) => {
      const task: ChildTask = { world, rank, microShards: 5, floats, steps: 3 };
      child.process.send(task);
    });
    const exits = children.map((child) => once(child.process, 'exit'));
    for (let step = 0; step < 3; step++) {
      const expected = new Uint8Array(reference(step, 5, floats).buffer);
      const sha256 = createHash('sha256').update(expected).digest('hex');
      for (const child of children) {
        assert.deepEqual(await child.next('step'), { kind: 'step', step, sha256 });
      }
    }
    for (const [code] of await Promise.all(exits)) assert.equal(code, 0);
  });
});

/** A world of one local worker and one child that joins and then contributes nothing. */
async function pendingWithChild(
  limits: object,
  strike: (child: Child) => void,
  check: (reason: string, elapsedMs: number) => void,
): Promise<void> {
  await withChildren(1, async ([child]) => {
    await withWorkers(1, limits, async ([worker]) => {
      const world = worldOf(1, [worker.address, child.address]);
      const task: ChildTask = { world, rank: 1, microShards: 4, floats: 1_000, steps: 0 };
      child.process.send(task);
      await worker.exchange.join({ world, rank: 0, ...createVectors(0, 2, 4, 1_000) });
      await child.next('joined');
      const pending = worker.exchange.allReduce(0, 1_000);
      const started = performance.now();
      strike(child);
      const error = await pending.then(
        () => assert.fail('a step without its peer'),
        (rejected: unknown) => rejected,
      );
      assert.ok(error instanceof PeerLostError);
      assert.deepEqual(worker.lost, [error.lost]);
      assert.equal(error.lost.rank, 1);
      assert.equal(error.lost.generation, 1);
      assert.equal(error.lost.worker, 'w1');
      check(error.lost.reason, performance.now() - started);
      await assert.rejects(worker.exchange.allReduce(1, 1_000), PeerLostError);
      assert.equal(worker.lost.length, 1);
    });
  });
}

test('a peer killed mid-step is reported at once, by name', async () => {
  await pendingWithChild(
    {},
    (child) => child.process.kill('SIGKILL'),
    (reason, elapsedMs) => {
      assert.match(reason, /ended its stream/);
      assert.ok(elapsedMs < 5_000, `${elapsedMs} ms`);
    },
  );
});

test('a peer that is frozen mid-step is reported after the limit of silence', async () => {
  await pendingWithChild(
    impatient,
    (child) => child.process.kill('SIGSTOP'),
    (reason, elapsedMs) => {
      assert.equal(reason, 'sent nothing for 0.6 s');
      assert.ok(elapsedMs < 5_000, `${elapsedMs} ms`);
    },
  );
});

test('a peer that computes for longer than the limit of silence is not lost', async () => {
  await withWorkers(2, impatient, async (workers) => {
    const worlds = localWorlds(workers, 4, 1_000);
    await Promise.all(workers.map(({ exchange }, rank) => exchange.join(worlds[rank])));
    for (const world of worlds) contribute(world, 0, 1_000);
    const early = workers[0].exchange.allReduce(0, 1_000);
    // Time itself is what is tested: three limits of silence.
    await new Promise((resolve) => setTimeout(resolve, 3 * impatient.silenceMs));
    await Promise.all([early, workers[1].exchange.allReduce(0, 1_000)]);
    for (const { lost } of workers) assert.deepEqual(lost, []);
  });
});

test('a peer that nobody can reach is reported with its address', async () => {
  await withWorkers(1, { dialMs: 500 }, async ([worker]) => {
    const world = worldOf(1, [worker.address, '127.0.0.1:1']);
    const join = worker.exchange.join({ world, rank: 0, ...createVectors(0, 2, 2, 10) });
    await assert.rejects(join, PeerLostError);
    assert.equal(worker.lost.length, 1);
    assert.match(worker.lost[0].reason, /could not be reached at 127\.0\.0\.1:1 within 0\.5 s/);
  });
});

test('a peer of an earlier generation is refused with the reason', async () => {
  await withWorkers(2, {}, async (workers) => {
    const now = localWorlds(workers, 2, 10, 5);
    const stale = localWorlds(workers, 2, 10, 4);
    const joining = workers[0].exchange.join(now[0]).catch((error: unknown) => error);
    await assert.rejects(workers[1].exchange.join(stale[1]), PeerLostError);
    assert.match(workers[1].lost[0].reason, /generation 4 is over; this worker is in 5/);
    await workers[1].exchange.join(now[1]);
    assert.equal(await joining, undefined);
  });
});

/** Opens a stream to a worker as a stranger and returns how it ended. */
async function knock(
  address: string,
  messages: readonly Buffer[],
): Promise<{ readonly code: grpc.status; readonly details: string }> {
  const client = new grpc.Client(address, grpc.credentials.createInsecure());
  const call = client.makeBidiStreamRequest(pullMethod.path, raw, raw);
  call.on('error', () => undefined);
  call.resume();
  for (const message of messages) call.write(message);
  const status = await new Promise<grpc.StatusObject>((resolve) => call.on('status', resolve));
  client.close();
  return status;
}

test('requests that make no sense are refused, and never end the worker', async () => {
  await withWorkers(2, { dialMs: 1_000 }, async (workers) => {
    const [world] = localWorlds(workers, 4, 1_000, 3);
    const joining = workers[0].exchange.join(world).catch(() => undefined);
    const hello = {
      generation: 3,
      fromRank: 1,
      fromWorker: 'w1',
      fromIncarnation: 1,
      toWorker: 'w0',
      worldSize: 2,
      microShards: 4,
      chunkBytes,
      precision: 'float32' as const,
      lane: 0,
      lanes: 1,
    };
    const pull = {
      generation: 3,
      step: 0,
      phase: 'gather' as const,
      firstChunk: 0,
      endChunk: 1,
      shape: sumsOf(1_000),
    };
    const ok = serializeHello(hello);
    const cases: readonly (readonly [string, readonly Buffer[], grpc.status, RegExp])[] = [
      ['no protobuf', [Buffer.from([0xff, 0xff, 0xff])], grpc.status.INTERNAL, /deserializing/],
      ['empty', [Buffer.alloc(0)], grpc.status.INVALID_ARGUMENT, /neither hello nor pull/],
      ['long', [Buffer.alloc(100_000)], grpc.status.RESOURCE_EXHAUSTED, /larger than max/],
      ['pull first', [serializePull(pull)], grpc.status.INVALID_ARGUMENT, /before the hello/],
      ['two hellos', [ok, ok], grpc.status.INVALID_ARGUMENT, /second hello/],
      ...(
        [
          ['generation', { generation: 2 }, /generation 2 is over/],
          ['rank', { fromRank: 7 }, /rank 7 is no peer/],
          ['itself', { fromRank: 0 }, /rank 0 is no peer/],
          ['worker', { fromWorker: 'w9' }, /fromWorker is "w9", not "w1"/],
          ['incarnation', { fromIncarnation: 2 }, /fromIncarnation is 2, not 1/],
          ['addressee', { toWorker: 'w5' }, /toWorker is "w5", not "w0"/],
          ['micro-shards', { microShards: 5 }, /microShards is 5, not 4/],
          ['precision', { precision: 'bfloat16' }, /precision is "bfloat16", not "float32"/],
          ['chunks', { chunkBytes: 8 }, /chunkBytes is 8, not/],
          ['lane', { lane: 1 }, /lane is 1, not 0/],
          ['lanes', { lanes: 2 }, /lanes is 2, not 1/],
        ] as const
      ).map(
        ([name, change, reason]) =>
          [
            `hello: ${name}`,
            [serializeHello({ ...hello, ...change })],
            grpc.status.FAILED_PRECONDITION,
            reason,
          ] as const,
      ),
    ];
    for (const [name, messages, code, reason] of cases) {
      const status = await knock(workers[0].address, messages);
      assert.equal(status.code, code, `${name}: ${status.details}`);
      assert.match(status.details, reason, name);
    }
    const beyond = serializePull({ ...pull, endChunk: 4_000_000_000 });
    const status = await knock(workers[0].address, [ok, beyond]);
    assert.match(status.details, /asked for gather of chunks \[0, 4000000000\)/);
    await joining;
    assert.match(workers[0].lost[0].reason, /asked for gather of chunks/);
  });
});

/** A stand-in for a peer: welcomes everybody and answers the first pull with given bytes. */
async function withImpostor(
  answer: Buffer,
  body: (address: string) => Promise<void>,
): Promise<void> {
  const server = new grpc.Server();
  const frames = { ...pullMethod, requestDeserialize: raw, responseSerialize: raw };
  server.addService(
    { Pull: frames },
    {
      Pull: (call: grpc.ServerDuplexStream<Buffer, Buffer>) => {
        let requests = 0;
        call.on('data', () => {
          requests += 1;
          if (requests === 1) call.write(frameBytes({ kind: 'welcome' }));
          if (requests === 2) call.write(answer);
        });
        call.on('error', () => undefined);
      },
    },
  );
  const insecure = grpc.ServerCredentials.createInsecure();
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync('127.0.0.1:0', insecure, (error, bound) =>
      error === null ? resolve(bound) : reject(error),
    );
  });
  try {
    await body(`127.0.0.1:${port}`);
  } finally {
    server.forceShutdown();
  }
}

function frameBytes(change: Partial<FrameHeader>, payload = Buffer.alloc(0)): Buffer {
  const header = Buffer.alloc(headerBytes);
  const plain = { generation: 1, step: 0, chunk: 0, start: 0, end: 0, bytes: 0 };
  const view = new DataView(header.buffer, header.byteOffset);
  writeHeader(view, 0, { kind: 'reduce', ...plain, ...change });
  return Buffer.concat([header, payload]);
}

const payload = Buffer.alloc(4 * 1_000, 1);
const sum: Partial<FrameHeader> = { kind: 'reduce', start: 0, end: 2, bytes: 4_000 };
const badFrames: readonly (readonly [string, Buffer, RegExp])[] = [
  ['of noise', Buffer.alloc(5_000, 0xee), /no frame/],
  ['cut short', frameBytes(sum, payload).subarray(0, 20), /a frame of 20 bytes/],
  ['longer than it says', frameBytes({ ...sum, bytes: 3_996 }, payload), /3996 bytes and has 4000/],
  ['of another generation', frameBytes({ ...sum, generation: 9 }, payload), /generation 9/],
  ['of another step', frameBytes({ ...sum, step: 1 }, payload), /step 1, which is not under way/],
  ['of a chunk beyond', frameBytes({ ...sum, chunk: 7 }, payload), /chunk 7, beyond/],
  ['of too few bytes', frameBytes({ ...sum, bytes: 4 }, Buffer.alloc(4)), /4 bytes for chunk 0/],
  ['of leaves not its own', frameBytes({ ...sum, start: 2, end: 4 }, payload), /does not hold/],
  ['of a result it does not own', frameBytes({ kind: 'gather', bytes: 4_000 }, payload), /own/],
  [
    'of a leaf where nothing is gathered',
    frameBytes({ kind: 'leaf', bytes: 4_000 }, payload),
    /compute/,
  ],
  ['of a second welcome', frameBytes({ kind: 'welcome' }), /second welcome/],
];

for (const [name, bytes, reason] of badFrames) {
  test(`a frame ${name} is refused before anything is written`, async () => {
    await withImpostor(bytes, async (impostor) => {
      await withWorkers(1, {}, async ([worker]) => {
        // Of two workers rank 1 owns a single chunk, and lacks the sum of the leaves [0, 2).
        const world = worldOf(1, [impostor, worker.address]);
        const vectors = createVectors(1, 2, 4, 1_000);
        const exchangeWorld = { world, rank: 1, ...vectors };
        await worker.exchange.join(exchangeWorld);
        await assert.rejects(worker.exchange.allReduce(0, 1_000), PeerLostError);
        assert.match(worker.lost[0].reason, reason);
        assert.ok(resultOf(exchangeWorld, 0, 1_000).every((value) => value === 0));
      });
    });
  });
}
