// What a coordinator reports when a run goes back, so that each step counts once, and what it says
// while nothing else is there to say.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createQuietWatch } from '../../../coordinator/edge/quiet.js';
import { createReporter, type ReportLine } from '../../../coordinator/edge/reporter.js';
import type { RunStatus } from '../../../shared/control/admin.js';
import { createRunEvents } from '../../../coordinator/edge/run-events.js';
import { parseCloudEvent } from '../../../shared/events/bus.js';
import { assertEvents, createHeardEvents } from '../../support/watch/events.js';
import { tinyRun } from '../../support/tiny-run.js';

function createReports(now: () => number = Date.now) {
  const lines: ReportLine[] = [];
  const { events, heard } = createHeardEvents(now);
  const reporter = createReporter({
    ...{ run: 'r', url: 'file://r', spec: tinyRun('file://d'), startStep: 0, until: 6 },
    ...{ startSha256: '', trainSamples: 9, testSamples: 2, now },
    ...{ term: 1, events },
    onLine: (line) => lines.push(line),
  });
  const step = (number: number, generation: number): void => {
    const seconds = { dataS: 0, computeS: 1, exchangeS: 0, updateS: 0 };
    const metrics = [{ name: 'loss', value: generation }];
    const about = { step: number, phase: 'pixel', metrics, isSkipped: false };
    reporter.message({ kind: 'stepReport', ...about, ...seconds }, () => [], generation);
  };
  const form = (at: number, generation: number): void => {
    const world = { generation, step: at, until: 6, members: [] };
    reporter.formed({ kind: 'formed', world, fingerprint: '', reason: '' } as never);
  };
  return { reporter, lines, heard, step, form };
}

test('after a setback each step is told again, marked, and the last one told counts', () => {
  const { reporter, lines, heard, step, form } = createReports();
  form(0, 1);
  for (const number of [1, 2, 3, 3]) step(number, 1);
  form(1, 2);
  for (const number of [2, 3, 4, 4]) step(number, 2);
  reporter.committed(4, 'ab'.repeat(32));
  const shown = lines.flatMap(({ kind, step: at, redone, generation }) =>
    kind === 'step' || kind === 'rollback' ? [[kind, at, generation, redone === true]] : [],
  );
  assert.deepEqual(shown, [
    ['step', 1, 1, false],
    ['step', 2, 1, false],
    ['step', 3, 1, false],
    ['rollback', 1, 2, false],
    ['step', 2, 2, true],
    ['step', 3, 2, true],
    ['step', 4, 2, false],
  ]);
  assertEvents(heard);
  const ids = heard.map(({ subject }) => subject);
  assert.equal(new Set(ids).size, ids.length, 'ids differ, or a bus drops what is told again');
  for (const generation of [1, 2]) assert.ok(ids.includes(`step-00000002-${generation}-committed`));
  assert.ok(ids.includes('world-2-rolled-back'));
  const newest = new Map<number, { generation: number }>();
  for (const event of heard.map(parseCloudEvent))
    if (event?.type === 'step.committed') newest.set(event.data.step, event.data);
  assert.deepEqual(
    [...newest].map(([at, { generation }]) => [at, generation]),
    [
      [1, 1],
      [2, 2],
      [3, 2],
      [4, 2],
    ],
  );
});

test('a verdict on the networks is told when it changes, and is there to be asked for', () => {
  const { reporter, lines, heard } = createReports();
  const seconds = { dataS: 0, computeS: 1, exchangeS: 0, updateS: 0 };
  const say = (from: number, to: number, real: number, fake: number): void => {
    for (let step = from; step <= to; step++) {
      const metrics = Object.entries({ 'score/real': real, 'score/fake': fake });
      const named = metrics.map(([name, value]) => ({ name, value }));
      const about = { step, phase: 'adversarial', metrics: named, isSkipped: false };
      reporter.message({ kind: 'stepReport', ...about, ...seconds }, () => [], 1);
    }
  };
  say(1, 150, 0.99, 0.01);
  assert.match(reporter.health(), /^the discriminator wins: .* lower learningRate/);
  say(151, 300, 0.6, 0.4);
  assert.equal(reporter.health(), '');
  const told = lines.filter(({ kind }) => kind === 'health');
  assert.deepEqual(
    told.map(({ verdict }) => verdict),
    ['discriminator wins', 'healthy'],
  );
  assert.equal(told[0]['step'], 100);
  assertEvents(heard);
  assert.equal(heard.filter(({ type }) => type === 'lockstep.run.judged').length, 2);
});

test('how the workers are is told once a step; notices as often as they are news', () => {
  let ms = 0;
  const { reporter, heard, lines } = createReports(() => ms);
  const world = { generation: 1, step: 3, workers: [], straggler: null };
  for (const at of [world, world, { ...world, step: 4 }, { ...world, generation: 2 }])
    reporter.observed(at);
  const observed = heard.filter(({ type }) => type === 'lockstep.world.observed');
  assert.deepEqual(
    observed.map(({ subject }) => subject),
    ['world-1-observed-00000003', 'world-1-observed-00000004', 'world-2-observed-00000003'],
  );
  for (ms = 0; ms < 120_000; ms += 1_000) reporter.notice('the store is away');
  for (let n = 0; n < 100; n++) reporter.notice(`event ${n} is lost`);
  assertEvents(heard);
  const noticed = heard.filter(({ type }) => type === 'lockstep.run.noticed');
  assert.equal(noticed.filter(({ data }) => data['text'] === 'the store is away').length, 2);
  assert.equal(noticed.length, 22, 'at most 20 texts a minute');
  assert.equal(lines.length, 220, 'lines are not held back');
});

test('a text that shows a secret is masked in events, as it is in logs', () => {
  const { reporter, heard, lines } = createReports();
  const secret = 'nats://me:hush@host:4222';
  reporter.notice(`${secret} is away`);
  reporter.formed({
    ...{ kind: 'formed', fingerprint: '', reason: `of ${secret}` },
    world: { generation: 1, step: 0, until: 6, members: [] },
  } as never);
  reporter.lost({ kind: 'lost', worker: 'w', reason: secret, generation: 1, silentMs: 0 } as never);
  reporter.ended({ exitCode: 1, reason: secret } as never, 1, () => undefined);
  assert.equal(heard.length, 4);
  assert.doesNotMatch(JSON.stringify(heard), /hush/);
  assert.match(JSON.stringify(heard), /nats:\/\/\*\*\*@host/);
  assert.equal(lines.length, 4);
});

test('what fails now and then goes on to get events; what fails always is named once', () => {
  const notices: string[] = [];
  const onNotice = (text: string): void => void notices.push(text);
  const events = createRunEvents({ run: 'r', now: Date.now, onNotice });
  const heard = { page: 0, board: 0, metrics: 0 };
  events.subscribe('the page', () => {
    if (++heard.page % 5 !== 0) throw new Error('odd');
  });
  events.subscribe('TensorBoard', () => {
    heard.board++;
    throw new Error('no room');
  });
  const forget = events.subscribe('metrics', (event, parsed) => {
    heard.metrics++;
    assert.deepEqual(parsed, parseCloudEvent(event));
  });
  const publish = (workers: number): void =>
    events.publish('run.scaled', `${workers}`, { workers });
  for (let workers = 1; workers <= 30; workers++) publish(workers);
  assert.deepEqual(heard, { page: 30, board: 10, metrics: 30 });
  assert.deepEqual(notices, ['TensorBoard gets no more events: 10 in a row failed: no room']);
  forget();
  publish(31);
  assert.equal(heard.metrics, 30);
});

test('while nothing is reported, it is said what the workers do: soon, and then less often', () => {
  let ms = 0;
  const watch = createQuietWatch(() => ms);
  const workers = [
    { worker: 'w-0', activity: 'compile', stage: 'training' },
    { worker: 'w-1', activity: '', stage: 'joining' },
  ];
  const status = { step: 0, workers } as unknown as RunStatus;
  const said: number[] = [];
  for (; ms < 200_000; ms += 1000) {
    const line = watch.look(status);
    if (line === undefined) continue;
    said.push(Number(line['seconds']));
    assert.deepEqual(line['workers'], [
      { worker: 'w-0', activity: 'compile' },
      { worker: 'w-1', activity: 'joining' },
    ]);
  }
  assert.deepEqual(said, [2, 10, 30, 60, 120, 180]);
  watch.heard(true);
  ms += 300_000;
  assert.equal(watch.look(status), undefined, 'as quiet as it was before');
  ms += 300_000;
  assert.equal(watch.look(status)?.['seconds'], 600);
  assert.equal(watch.look({ ...status, workers: [] }), undefined);
});

test('an evaluation is told with the distance of descriptors, where the worker took it', () => {
  const { reporter, lines, heard, step, form } = createReports();
  form(0, 1);
  step(1, 1);
  const evaluation = {
    kind: 'evaluation',
    ...{ step: 1, psnr: 26, ssim: 0.8, bicubicPsnr: 25, bicubicSsim: 0.7 },
    ...{ faces: 2, sampleKey: 'samples/1.png', seconds: 1 },
  } as const;
  reporter.message({ ...evaluation, identity: 0.01, bicubicIdentity: 0.03 }, () => [], 1);
  const told = lines.find(({ kind }) => kind === 'evaluation');
  assert.deepEqual([told?.['identity'], told?.['bicubic_identity']], [0.01, 0.03]);
  assertEvents(heard);
  assert.ok(heard.some(({ data }) => JSON.stringify(data).includes('"bicubic_identity":0.03')));
  reporter.message({ ...evaluation, step: 2 }, () => [], 1);
  assert.equal('identity' in (lines.findLast(({ kind }) => kind === 'evaluation') ?? {}), false);
});
