// The compute side of a worker through worlds that come and go: what it reports of them, and that
// its state is the same whatever was given up on the way.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { stateDigest } from '../../../shared/checkpoint/digests.js';
import { vectorsInOrder } from '../../../shared/checkpoint/state.js';
import {
  fakeNetworks,
  fakeSeed,
  fakeWorker,
  trainedWorker,
  turn,
  type FakeWorker,
} from '../../support/fake-run.js';
import { until } from '../../support/until.js';

const never = (): Promise<void> => new Promise(() => undefined);
const bits = (worker: FakeWorker): string[] =>
  vectorsInOrder(fakeNetworks, worker.state()).map((v) =>
    Buffer.from(v.slice().buffer).toString('hex'),
  );

test('a world is entered, trained in and halted once', async () => {
  const worker = await trainedWorker(3);
  assert.deepEqual(worker.of('halted'), [
    { kind: 'halted', generation: 1, step: 3, hasState: true, trouble: '' },
  ]);
  assert.equal(worker.of('paced').length, 3);
  const reports = worker.of('tell').map(({ message }) => message.kind === 'stepReport' && message);
  // The last one is sent again when it halts.
  assert.deepEqual(
    reports.map((report) => report && report.step),
    [1, 2, 3, 3],
  );
  assert.equal(reports.at(-1), reports.at(-2));
});

test('the pictures of a world are prepared while its state is still read', async () => {
  const started: string[] = [];
  const worker = await fakeWorker({
    whenLoaderStarts: (step, leaves) => void started.push(`${step}: ${leaves.join(' ')}`),
    openState: () => new Promise(() => undefined),
  });
  worker.enter(1, { step: 7, rank: 1, worldSize: 2 });
  await until(() => started.length > 0, 'the loader', 5_000);
  assert.deepEqual(started, ['7: 2 3 4']);
  assert.deepEqual(worker.of('entered'), []);
});

test('three devices give the bytes of one, whichever finishes first', async () => {
  const underWay = new Set<number>();
  let most = 0;
  const worker = await fakeWorker({
    devices: 3,
    whileComputing: async (_, leaf) => {
      underWay.add(leaf);
      most = Math.max(most, underWay.size);
      // Later micro-shards need less time, and the first one most of all.
      for (let turns = leaf === 0 ? 9 : 5 - leaf; turns > 0; turns--) await turn();
      underWay.delete(leaf);
    },
  });
  await worker.train(1, 5);
  assert.equal(most, 3);
  assert.deepEqual(bits(worker), bits(await trainedWorker(5)));
});

test('an abort waits for what another device computes, and changes nothing', async () => {
  let isAborted = false;
  let finish = (): void => undefined;
  const worker = await fakeWorker({
    devices: 2,
    // One device waits for its pictures while the other one computes.
    beforeBatch: (step, leaf) => (step === 2 && leaf === 3 && !isAborted ? never() : turn()),
    whileComputing: (step, leaf) => {
      if (step !== 2 || leaf !== 4 || isAborted) return;
      isAborted = true;
      worker.onMessage({ kind: 'abort', generation: 1, reason: 'test' });
      return new Promise((resolve) => (finish = resolve));
    },
  });
  await worker.start(1, 5);
  await until(() => isAborted, 'the abort', 5_000);
  for (let turns = 9; turns > 0; turns--) await turn();
  assert.deepEqual(worker.of('halted'), []);
  finish();
  assert.equal((await worker.hear('halted')).step, 2);
  await worker.train(2, 5, { source: 'own', step: 2 });
  assert.deepEqual(bits(worker), bits(await trainedWorker(5)));
});

test('a report has the norm of each mean gradient, NaN where it is not finite', async () => {
  const worker = await fakeWorker({
    gradient: (value, step) => (step === 1 ? Infinity : step === 2 ? 3 : value),
  });
  await worker.train(1, 3);
  const norms = worker
    .of('tell')
    .flatMap(({ message }) => (message.kind === 'stepReport' ? [message] : []))
    .map(({ metrics }) => metrics.find(({ name }) => name === 'gradient/generator')?.value);
  assert.ok(norms[0]! > 0);
  // Of five values of 3 each.
  assert.deepEqual([norms[1], Math.fround(norms[2]!)], [NaN, Math.fround(Math.sqrt(45))]);
});

test('an abort between two micro-shards leaves the rest uncomputed and the state as it was', async () => {
  const computed: string[] = [];
  const worker = await fakeWorker({
    whileComputing: (step, leaf) => {
      computed.push(`${step}:${leaf}`);
      if (computed.length === 7)
        setImmediate(() => worker.onMessage({ kind: 'abort', generation: 1, reason: 'test' }));
    },
  });
  const halted = await worker.train(1, 3);
  assert.equal(halted.step, 1);
  // Five micro-shards a step: given up in the middle of the second.
  assert.ok(computed.length >= 7 && computed.length < 10, computed.join());

  await worker.train(2, 3, { source: 'own', step: 1 });
  assert.deepEqual(bits(worker), bits(await trainedWorker(3)));
});

test('an abort is answered once while the loader keeps it waiting', async () => {
  const worker = await fakeWorker({ beforeBatch: (step) => (step === 1 ? never() : turn()) });
  await worker.start(1, 3);
  await worker.hear('paced');
  await turn();
  worker.onMessage({ kind: 'abort', generation: 1, reason: 'test' });
  worker.onMessage({ kind: 'abort', generation: 1, reason: 'test' });
  assert.equal((await worker.hear('halted')).step, 1);
  await turn();
  assert.equal(worker.of('halted').length, 1);
  assert.deepEqual(worker.of('failed'), []);
});

test('an abort is answered while the exchange keeps it waiting, and a late answer is dropped', async () => {
  const worker = await fakeWorker({ answersReduce: false });
  await worker.start(1, 1);
  await worker.hear('contribute');
  worker.onMessage({ kind: 'abort', generation: 1, reason: 'test' });
  await worker.hear('halted');
  await worker.start(2, 1, { source: 'own' });
  worker.onMessage({ kind: 'reduced', step: 0 });
  await worker.hear('contribute', 2);
  await turn();
  assert.equal(worker.state().step, 0);
  worker.onMessage({ kind: 'reduced', step: 0 });
  assert.equal((await worker.hear('halted', 2)).step, 1);
});

test('an abort is answered while the store keeps it waiting', async () => {
  const worker = await fakeWorker({ stored: never });
  await worker.start(1, 20);
  // The checkpoint of step 4 is being stored; that of step 8 has to wait.
  await worker.hear('paced', 8);
  await turn();
  assert.deepEqual(worker.saved, ['4:0/1']);
  assert.equal(worker.of('activity').at(-1)?.activity, 'store');
  worker.onMessage({ kind: 'abort', generation: 1, reason: 'test' });
  assert.equal((await worker.hear('halted')).step, 8);
  assert.deepEqual(worker.saved, ['4:0/1']);
});

test('room for a checkpoint that is due next is given back when training halts before it', async () => {
  const room: string[] = [];
  const worker = await fakeWorker({ room: (what) => room.push(what) });
  await worker.train(1, 3);
  assert.deepEqual(room, ['prepared', 'given back']);
});

test('a checkpoint is copied while the next step is computed, and is of its own step', async () => {
  const computed: string[] = [];
  let isWaiting = false;
  const worker = await fakeWorker({
    whileComputing: (step, leaf) => void computed.push(`${step}:${leaf}`),
    // The rolling digest reads from the start; what is behind it is read for the checkpoint alone.
    whileReadingRange: async (start) => {
      if (start === 0 || isWaiting) return;
      isWaiting = true;
      await until(() => computed.includes('4:4'), 'the next step', 5_000);
      for (let turns = 9; turns > 0; turns--) await turn();
    },
  });
  await worker.train(1, 7);
  const whole = worker.of('tell').flatMap(({ message }) => {
    return message.kind === 'digest' && message.isWhole ? [message] : [];
  });
  const expected = stateDigest(fakeNetworks, (await trainedWorker(4)).state());
  assert.ok(isWaiting);
  assert.deepEqual(
    whole.map(({ step, value }) => [step, value]),
    [[4, expected]],
  );
  assert.deepEqual(bits(worker), bits(await trainedWorker(7)));
});

test('an abort is answered once while a world is being entered, and once it is', async () => {
  const worker = await fakeWorker({ openState: () => new Promise(() => undefined) });
  worker.enter(1);
  worker.onMessage({ kind: 'abort', generation: 1, reason: 'test' });
  const halted = await worker.hear('halted');
  assert.deepEqual([halted.step, halted.hasState], [0, false]);
  await turn();
  assert.deepEqual([worker.of('entered'), worker.of('enterFailed')], [[], []]);

  const other = await trainedWorker(1);
  other.enter(2, { source: 'own', step: 1 });
  await other.hear('entered', 2);
  other.onMessage({ kind: 'abort', generation: 2, reason: 'test' });
  other.onMessage({ kind: 'abort', generation: 2, reason: 'test' });
  await other.hear('halted', 2);
  await turn();
  assert.equal(other.of('halted').length, 2);
});

test('an abort that comes when the loop has ended by itself is not answered again', async () => {
  const worker = await trainedWorker(2);
  worker.onMessage({ kind: 'abort', generation: 1, reason: 'test' });
  await turn();
  assert.equal(worker.of('halted').length, 1);
});

test('a vote ends one world and not the next', async () => {
  const worker = await fakeWorker();
  worker.enter(1);
  await worker.hear('entered');
  worker.onMessage({ kind: 'voteStop' });
  worker.onMessage({ kind: 'train', generation: 1, until: 3 });
  assert.equal((await worker.hear('halted')).step, 1);
  assert.equal((await worker.train(2, 3, { source: 'own', step: 1 })).step, 3);
  assert.deepEqual(bits(worker), bits(await trainedWorker(3)));
});

test('a checkpoint that cannot be read leaves the state as it was', async () => {
  let isTorn = false;
  const worker = await fakeWorker({
    openState: () => (isTorn ? Promise.reject(new Error('torn')) : Promise.resolve(fakeSeed())),
  });
  await worker.train(1, 2);
  const before = bits(worker);
  isTorn = true;
  worker.enter(2, { source: 'checkpoint', step: 4 });
  const failed = await worker.hear('enterFailed');
  assert.deepEqual([failed.generation, failed.reason], [2, 'torn']);
  assert.deepEqual([worker.state().step, worker.local.hasState], [2, true]);
  assert.deepEqual(bits(worker), before);
});

test('a world that starts from another state than the own one is a failure', async () => {
  const worker = await trainedWorker(2);
  worker.enter(2, { source: 'own', step: 1 });
  assert.match(
    (await worker.hear('failed')).reason,
    /state of step 1 is due, but there is of step 2/,
  );
});

test('ten steps that are not finite end the training, and change nothing but the step', async () => {
  const worker = await fakeWorker({ gradient: (value, step) => (step < 2 ? value : NaN) });
  const halted = await worker.train(1, 50);
  assert.equal(
    halted.trouble,
    'the gradients of 10 steps in a row were not finite (steps 3 to 12): ' +
      'lower the learning rate or look at the data',
  );
  assert.equal(halted.step, 12);
  assert.equal(worker.state().skippedInARow, 10);
  assert.deepEqual(bits(worker), bits(await trainedWorker(2)));
  assert.equal(worker.state().networks['generator'].updates, 2);
  const skipped = worker
    .of('tell')
    .filter(({ message: m }) => m.kind === 'stepReport' && m.isSkipped);
  // And the last one again.
  assert.equal(skipped.length, 11);
});

test('nine are not the end, and a finite one is a new beginning', async () => {
  const worker = await fakeWorker({
    gradient: (value, step) => (step % 10 === 0 ? value : Infinity),
  });
  const halted = await worker.train(1, 35);
  assert.deepEqual([halted.step, halted.trouble], [35, '']);
  assert.equal(worker.state().networks['generator'].updates, 4);
  assert.equal(worker.state().skippedInARow, 4);
});

test('what is asked to be finished is stored once a share, and again for other shares', async () => {
  const worker = await trainedWorker(3);
  const finish = (share: number, shares: number): void =>
    worker.onMessage({ kind: 'finish', generation: 1, step: 3, share, shares });
  finish(1, 3);
  finish(1, 3);
  assert.equal((await worker.hear('finished')).step, 3);
  finish(1, 3);
  await worker.hear('finished', 2);
  finish(0, 2);
  await worker.hear('finished', 3);
  await turn();
  assert.equal(worker.of('finished').length, 3);
  assert.deepEqual(worker.saved, ['3:1/3', '3:0/2']);
});

test('finishing gives way to an abort, and can be asked for again', async () => {
  let comeBack = (): void => undefined;
  const away = new Promise<void>((resolve) => (comeBack = resolve));
  const worker = await fakeWorker({ stored: () => away });
  await worker.train(1, 2);
  worker.onMessage({ kind: 'finish', generation: 1, step: 2, share: 0, shares: 1 });
  await turn();
  worker.onMessage({ kind: 'abort', generation: 1, reason: 'test' });
  await worker.hear('halted', 2);
  assert.deepEqual(worker.of('finished'), []);
  worker.onMessage({ kind: 'finish', generation: 1, step: 2, share: 0, shares: 1 });
  comeBack();
  await worker.hear('finished');
  assert.deepEqual(worker.saved, ['2:0/1']);
});

test('digests agree where states do, from every eighth step on, and part for good after a flip', async () => {
  const digests = (worker: FakeWorker): string[] =>
    worker
      .of('tell')
      .flatMap(({ message }) =>
        message.kind === 'digest' && !message.isWhole ? [`${message.step} ${message.value}`] : [],
      );
  const [one, other] = [await trainedWorker(24), await trainedWorker(24)];
  assert.deepEqual(
    digests(one).map((line) => line.split(' ')[0]),
    ['8', '16', '24'],
  );
  assert.deepEqual(digests(one), digests(other));

  const flipped = await fakeWorker({
    whileComputing: (step, leaf) => {
      if (step === 9 && leaf === 0) flipped.onMessage({ kind: 'flip' });
    },
  });
  await flipped.train(1, 24);
  const [before, ...after] = digests(flipped);
  assert.equal(before, digests(one)[0]);
  after.forEach((value, i) => assert.notEqual(value, digests(one)[i + 1]));
});
