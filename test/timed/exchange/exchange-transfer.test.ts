// A whole state from one worker to another over real gRPC: every byte, several receivers, slow and
// vanishing ones, donors that are busy, refuse, freeze, die or lie.

import assert from 'node:assert/strict';
import { fork, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { test } from 'node:test';
import * as grpc from '@grpc/grpc-js';

import {
  createStateSerializer,
  headerFrame,
  type StateFrame,
} from '../../../worker/transfer/state-frame.js';
import { stateService } from '../../../worker/transfer/grpc.js';
import { until } from '../../support/until.js';
import { headerOf, stateBytes, TestReceiver, withDonor } from './exchange-transfers.js';
import { bind } from './exchange-worlds.js';

const mebibyte = 1024 ** 2;
const impatient = { aliveMs: 100, silenceMs: 600 };

for (const bytes of [0, 1, mebibyte, 5 * mebibyte + 123]) {
  test(`a state of ${bytes} bytes arrives whole, behind its header`, async () => {
    await withDonor(bytes, {}, async (donor) => {
      const receiver = new TestReceiver();
      receiver.fetch(donor.address);
      await receiver.over();
      assert.equal(receiver.failed, undefined);
      assert.deepEqual(receiver.header, headerOf(7, bytes));
      assert.equal(receiver.chunks, Math.ceil(bytes / mebibyte));
      await until(() => donor.facts.length === 1, 'the donor is done');
      assert.deepEqual(donor.facts, ['state served: all of it']);
    });
  });
}

test('several receivers at once each get all bytes', async () => {
  await withDonor(20 * mebibyte + 1, {}, async (donor) => {
    const receivers = [1, 2, 3].map(() => new TestReceiver());
    for (const receiver of receivers) receiver.fetch(donor.address);
    for (const receiver of receivers) {
      await receiver.over();
      assert.equal(receiver.failed, undefined);
      assert.ok(receiver.isWhole);
    }
  });
});

test('a receiver that takes nothing makes the donor wait, without a loss of bytes', async () => {
  await withDonor(160 * mebibyte, impatient, async (donor) => {
    const receiver = new TestReceiver(impatient);
    receiver.isLazy = true;
    receiver.fetch(donor.address);
    let before = -1;
    // Three limits of silence, in which nobody may be blamed.
    for (let still = 0; still < 18; still++) {
      if (donor.askedBytes !== before) still = 0;
      before = donor.askedBytes;
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
    assert.equal(receiver.failed, undefined);
    assert.equal(receiver.chunks, 5);
    // Windows of the connection, sockets and the reader's queue; far below the state.
    assert.ok(donor.askedBytes <= 48 * mebibyte, `${donor.askedBytes / mebibyte} MiB`);
    receiver.isLazy = false;
    for (let i = 0; i < 5; i++) receiver.client.taken();
    await receiver.over();
    assert.equal(receiver.failed, undefined);
    assert.equal(donor.askedBytes, 160 * mebibyte);
  });
});

function openSockets(): number {
  return process.getActiveResourcesInfo().filter((kind) => kind === 'TCPSocketWrap').length;
}

test('a receiver that drops midway leaves nothing behind, here and at the donor', async () => {
  await withDonor(160 * mebibyte, {}, async (donor) => {
    // What the test before had open may take a moment to close.
    await until(() => openSockets() === 0, 'no connection is open');
    const receiver = new TestReceiver();
    receiver.isLazy = true;
    receiver.fetch(donor.address);
    await until(() => receiver.chunks > 0, 'the first chunk');
    assert.equal(openSockets(), 2);
    receiver.client.drop();
    await until(() => donor.facts.length === 1, 'the donor sees it');
    assert.deepEqual(donor.facts, ['state served: the receiver is gone']);
    const { chunks } = receiver;
    receiver.client.taken();
    const again = new TestReceiver();
    again.fetch(donor.address);
    await again.over();
    assert.ok(again.isWhole);
    await until(() => openSockets() === 0, 'all connections are closed');
    assert.equal(receiver.chunks, chunks, 'nothing comes after a drop');
    assert.equal(receiver.failed, undefined);
  });
});

test('a donor that serves as many as it can is asked again', async () => {
  await withDonor(30 * mebibyte, { servings: 1 }, async (donor) => {
    const receivers = [1, 2, 3].map(() => new TestReceiver({ retryMs: 20 }));
    for (const receiver of receivers) receiver.fetch(donor.address);
    for (const receiver of receivers) await receiver.over();
    assert.deepEqual(
      receivers.map(({ failed }) => failed),
      [undefined, undefined, undefined],
    );
    assert.ok(donor.facts.some((fact) => /too many ask/.test(fact)));
  });
});

test('a donor that stays busy is given up', async () => {
  await withDonor(30 * mebibyte, { servings: 0 }, async (donor) => {
    const receiver = new TestReceiver({ retryMs: 20, busyMs: 200 });
    receiver.fetch(donor.address);
    await receiver.over();
    const reason = `the donor at ${donor.address} was busy for 0.2 s: too many ask for the state`;
    assert.equal(receiver.failed, reason);
  });
});

test('a request of an earlier generation, or for a step not here, is refused', async () => {
  await withDonor(mebibyte, {}, async (donor) => {
    donor.state.setWorld(5, () => true);
    for (const [generation, step, reason] of [
      [4, 7, /did not serve us: generation 4 is over; this worker is in 5$/],
      [5, 13, /did not serve us: this worker is at step 7$/],
    ] as const) {
      const receiver = new TestReceiver();
      receiver.fetch(donor.address, generation, step);
      await receiver.over();
      assert.match(receiver.failed ?? '', reason);
    }
  });
});

test('a request of one who is not in the world is refused, also when it was held', async () => {
  await withDonor(mebibyte, {}, async (donor) => {
    const isFrom = (worker: string) => (asking: string) => asking === worker;
    const early = new TestReceiver();
    early.fetch(donor.address, 2);
    donor.state.setWorld(1, isFrom('somebody else'));
    const late = new TestReceiver();
    late.fetch(donor.address);
    await late.over();
    assert.match(late.failed ?? '', /did not serve us: .* is not in this world$/);
    donor.state.setWorld(2, isFrom('somebody else'));
    await early.over();
    assert.match(early.failed ?? '', /did not serve us: .* is not in this world$/);
  });
});

test('a request of a later generation waits until this worker enters it', async () => {
  await withDonor(mebibyte, impatient, async (donor) => {
    const receiver = new TestReceiver(impatient);
    receiver.fetch(donor.address, 2);
    // Twice the limit of silence: the donor says that it is alive.
    await new Promise((resolve) => setTimeout(resolve, 2 * impatient.silenceMs));
    assert.equal(receiver.failed ?? receiver.header, undefined);
    donor.state.setWorld(2, () => true);
    await receiver.over();
    assert.ok(receiver.isWhole);
  });
});

test('a request of a generation that never comes is refused in the end', async () => {
  await withDonor(mebibyte, { ...impatient, holdMs: 300 }, async (donor) => {
    const receiver = new TestReceiver(impatient);
    receiver.fetch(donor.address, 2);
    await receiver.over();
    assert.match(receiver.failed ?? '', /this worker did not enter your world within 0\.3 s/);
  });
});

test('what is being served ends when the donor moves on to another world', async () => {
  await withDonor(160 * mebibyte, {}, async (donor) => {
    const receiver = new TestReceiver();
    receiver.isLazy = true;
    receiver.fetch(donor.address);
    await until(() => receiver.chunks > 0, 'the first chunk');
    donor.state.setWorld(2, () => true);
    await receiver.over();
    assert.match(receiver.failed ?? '', /ended its stream: generation 1 is over/);
  });
});

test('a donor whose compute thread does not answer is given up, though it is alive', async () => {
  await withDonor(mebibyte, { ...impatient, stallMs: 900 }, async (donor) => {
    donor.isStuck = true;
    const receiver = new TestReceiver(impatient);
    receiver.fetch(donor.address);
    await receiver.over();
    assert.match(receiver.failed ?? '', /the state did not come within 0\.9 s/);
  });
});

test('a donor that is not there fails the transfer at once, by its address', async () => {
  const receiver = new TestReceiver();
  receiver.fetch('127.0.0.1:1');
  await receiver.over();
  assert.match(receiver.failed ?? '', /^the donor at 127\.0\.0\.1:1 did not serve us: /);
});

/** A donor in a process of its own, struck when it has served some of its state. */
async function struckMidway(signal: NodeJS.Signals): Promise<TestReceiver> {
  const script = fileURLToPath(new URL('./exchange-donor.js', import.meta.url));
  const donor: ChildProcess = fork(script, [String(4_096 * mebibyte)]);
  try {
    const [{ address }] = (await once(donor, 'message')) as [{ address: string }];
    const receiver = new TestReceiver(impatient);
    receiver.fetch(address);
    await once(donor, 'message');
    donor.kill(signal);
    await receiver.over();
    assert.ok(receiver.received > 0 && !receiver.isWhole);
    assert.ok(receiver.failed?.startsWith(`the donor at ${address} `));
    return receiver;
  } finally {
    donor.kill('SIGKILL');
  }
}

test('a donor killed midway fails the transfer', async () => {
  const { failed } = await struckMidway('SIGKILL');
  assert.match(failed ?? '', /ended its stream: /);
});

test('a donor that freezes midway fails the transfer after the limit of silence', async () => {
  const { failed } = await struckMidway('SIGSTOP');
  assert.match(failed ?? '', /sent nothing for 0\.6 s/);
});

const serialize = createStateSerializer(2 * mebibyte);
const frame = (change: Partial<StateFrame>): Buffer => {
  const plain = { kind: 'chunk', generation: 1, payload: stateBytes(0, 100) } as const;
  return Buffer.from(serialize({ ...plain, ...change }));
};
const header = Buffer.from(serialize(headerFrame(1, headerOf(7, 200))));
const json = (value: unknown): Buffer =>
  frame({ kind: 'header', payload: Buffer.from(JSON.stringify(value)) });

for (const [what, messages, reason] of [
  ['noise', [Buffer.alloc(50, 0xee)], /sent no frame/],
  ['nothing', [], /ended its stream without a state/],
  ['a frame cut short', [header.subarray(0, 5)], /a frame of 5 bytes/],
  ['a chunk first', [frame({})], /a chunk before its header/],
  ['two headers', [header, header], /a second header/],
  ['another generation', [frame({ generation: 2 })], /generation 2; this is 1/],
  ['an empty chunk', [header, frame({ payload: new Uint8Array(0) })], /an empty chunk/],
  ['no JSON', [frame({ kind: 'header' })], /no JSON/],
  ['a long header', [json({ ...headerOf(7, 1), digest: 'x'.repeat(70_000) })], /header of 70/],
  ['a strange header', [json({ ...headerOf(7, 1), bytes: -1 })], /header of which bytes/],
  ['a field too many', [json({ ...headerOf(7, 1), more: 1 })], /header of which the whole/],
  ['another step', [json(headerOf(8, 1))], /the state of step 8 for step 7/],
  ['a huge state', [json(headerOf(7, 65 * 1024 ** 3))], /has a state of 69793218560 bytes/],
  ['too little', [header, frame({})], /sent 100 of 200 bytes/],
  [
    'too much at once',
    [header, frame({ payload: stateBytes(0, 201) })],
    /more than the 200 bytes it had said/,
  ],
  [
    'too much afterwards',
    [header, frame({}), frame({ payload: stateBytes(100, 100) }), frame({})],
    /more than the 200 bytes it had said/,
  ],
] as const) {
  test(`a donor that sends ${what} fails the transfer`, async () => {
    const server = new grpc.Server();
    const method = stateService(1)['State'];
    const raw = { ...method, responseSerialize: (bytes: Buffer) => bytes };
    server.addService(
      { State: raw as grpc.MethodDefinition<unknown, unknown> },
      {
        State: (call: grpc.ServerWritableStream<unknown, Buffer>) => {
          for (const message of messages) call.write(message);
          call.end();
        },
      },
    );
    try {
      const receiver = new TestReceiver();
      receiver.fetch(await bind(server));
      await receiver.over();
      assert.match(receiver.failed ?? 'whole', reason);
      assert.ok(!receiver.isWhole);
    } finally {
      server.forceShutdown();
    }
  });
}
