// A state goes from one worker to another, chunk by chunk; whatever is wrong with what comes, the
// own state stays as it was.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { bytesOf, vectorsInOrder } from '../../../shared/checkpoint/state.js';
import { stateDigest } from '../../../shared/checkpoint/digests.js';
import type { ToCompute } from '../../../worker/network/ports.js';
import {
  fakeNetworks,
  fakeWorker,
  trainedWorker,
  turn,
  type FakeWorker,
} from '../../support/fake-run.js';
import { until } from '../../support/until.js';

const digest = (worker: FakeWorker): string => stateDigest(fakeNetworks, worker.state());
const maxBytes = 30;

/** All that the donor answers to one request, chunk after chunk, as the network carries it. */
async function served(donor: FakeWorker, request: number, step: number): Promise<ToCompute[]> {
  const chunks = donor.of('servedChunk').length;
  donor.onMessage({ kind: 'serveState', request, step });
  const { header } = await donor.hear('servedHeader', donor.of('servedHeader').length + 1);
  const messages: ToCompute[] = [{ kind: 'stateHeader', header }];
  for (let offset = 0; offset < header.bytes; offset += maxBytes) {
    donor.onMessage({ kind: 'serveMore', request, offset, maxBytes });
    const { bytes } = await donor.hear('servedChunk', chunks + messages.length);
    messages.push({ kind: 'stateChunk', bytes });
  }
  return messages;
}

/** A worker at step 2 that is to take the state of step 5 from a peer. */
async function behind(): Promise<FakeWorker> {
  const worker = await trainedWorker(2);
  worker.enter(2, { source: 'peer', donor: 'peer:1', step: 5 });
  const { kind: _, ...asked } = await worker.hear('fetchState');
  assert.deepEqual(asked, { generation: 2, donor: 'peer:1', step: 5 });
  return worker;
}

test('a state that is taken from a peer is the peer’s, and trains on like it', async () => {
  const [donor, worker] = [await trainedWorker(5), await behind()];
  const messages = await served(donor, 7, 5);
  assert.equal(
    messages.length,
    1 + Math.ceil(bytesOf(vectorsInOrder(fakeNetworks, donor.state())) / maxBytes),
  );
  messages.forEach(worker.onMessage);
  await worker.hear('entered', 2);
  assert.equal(worker.of('stateTaken').length, messages.length - 1);
  assert.equal(digest(worker), digest(donor));
  worker.onMessage({ kind: 'train', generation: 2, until: 9 });
  await worker.hear('halted', 2);
  assert.equal(digest(worker), digest(await trainedWorker(9)));
});

const bend = (messages: ToCompute[], change: (bytes: Uint8Array) => Uint8Array): ToCompute[] =>
  messages.map((message, i) =>
    message.kind === 'stateChunk' && i === 2
      ? { ...message, bytes: change(message.bytes) }
      : message,
  );
const rewrite = (messages: ToCompute[], change: object): ToCompute[] =>
  messages.map((message) =>
    message.kind === 'stateHeader'
      ? { ...message, header: { ...message.header, ...change } }
      : message,
  );
const cases: [string, (messages: ToCompute[]) => ToCompute[], RegExp][] = [
  [
    'a flipped bit',
    (messages) => bend(messages, (bytes) => bytes.map((byte, i) => (i === 11 ? byte ^ 1 : byte))),
    /another digest/,
  ],
  ['a chunk too much', (messages) => bend(messages, (b) => Buffer.concat([b, b])), /more bytes/],
  [
    'a donor that goes away',
    (messages) => [...messages.slice(0, 3), { kind: 'stateFailed', reason: 'gone' }],
    /gone/,
  ],
  ['another step', (messages) => rewrite(messages, { step: 4 }), /of step 4 came, not of 5/],
  ['another size', (messages) => rewrite(messages, { bytes: 4 }), /4 bytes came, \d+ are due/],
  ['other updates', (messages) => rewrite(messages, { updates: {} }), /updates of generator/],
  ['updates that differ', (messages) => rewrite(messages, { updates: { generator: 3 } }), /digest/],
  ['chunks without a header', (messages) => messages.slice(1), /before its header/],
];
for (const [name, bendIt, reason] of cases)
  test(`${name} leaves the own state as it was`, async () => {
    const worker = await behind();
    const before = digest(worker);
    bendIt(await served(await trainedWorker(5), 1, 5)).forEach(worker.onMessage);
    const failed = await worker.hear('enterFailed');
    assert.match(failed.reason, reason);
    assert.equal(digest(worker), before);
    assert.equal(worker.state().step, 2);
    await worker.hear('dropState');

    // And another donor's is taken.
    worker.enter(3, { source: 'peer', donor: 'other:1', step: 5 });
    await worker.hear('fetchState', 2);
    (await served(await trainedWorker(5), 1, 5)).forEach(worker.onMessage);
    await worker.hear('entered', 2);
    assert.equal(worker.state().step, 5);
  });

test('an abort stops a transfer; what still comes of it is dropped', async () => {
  const worker = await behind();
  const before = digest(worker);
  const [header, first, ...rest] = await served(await trainedWorker(5), 1, 5);
  worker.onMessage(header);
  worker.onMessage(first);
  worker.onMessage({ kind: 'abort', generation: 2, reason: 'test' });
  const halted = await worker.hear('halted', 2);
  assert.deepEqual([halted.step, halted.hasState], [2, true]);
  rest.forEach(worker.onMessage);
  await turn();
  assert.equal(worker.of('dropState').length, 1);
  assert.equal(worker.of('stateTaken').length, 1);
  assert.deepEqual(worker.of('enterFailed'), []);
  assert.equal(digest(worker), before);
});

test('a state is refused by who has none, has another, or changes it', async () => {
  const empty = await fakeWorker();
  empty.onMessage({ kind: 'serveState', request: 1, step: 0 });
  assert.match((await empty.hear('serveRefused')).reason, /no state/);

  const donor = await trainedWorker(2);
  donor.onMessage({ kind: 'serveState', request: 2, step: 3 });
  assert.match((await donor.hear('serveRefused')).reason, /of step 2/);

  donor.onMessage({ kind: 'serveState', request: 3, step: 2 });
  await donor.hear('servedHeader');
  await donor.start(2, 3, { source: 'own', step: 2 });
  await until(() => donor.of('paced').length === 3, 'a third step');
  await donor.hear('halted', 2);
  donor.onMessage({ kind: 'serveMore', request: 3, offset: 0, maxBytes });
  assert.match((await donor.hear('serveRefused', 2)).reason, /changed/);
});

test('training that begins while a state is read for a peer waits for that, and refuses', async () => {
  let comeBack = (): void => undefined;
  const read = new Promise<void>((resolve) => (comeBack = resolve));
  const donor = await fakeWorker({ whileReading: () => read });
  await donor.train(1, 2);
  donor.enter(2, { source: 'own', step: 2 });
  await donor.hear('entered', 2);
  donor.onMessage({ kind: 'serveState', request: 1, step: 2 });
  donor.onMessage({ kind: 'train', generation: 2, until: 3 });
  for (let turns = 0; turns < 9; turns++) await turn();
  assert.equal(donor.of('activity').filter(({ step }) => step === 2).length, 0);
  comeBack();
  await donor.hear('halted', 2);
  assert.match((await donor.hear('serveRefused')).reason, /changed/);
  assert.deepEqual([donor.of('servedHeader'), donor.of('failed')], [[], []]);
  assert.equal(digest(donor), digest(await trainedWorker(3)));
});
