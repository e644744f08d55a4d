// The recorder of the compute thread: which steps it records, where their parts lie, and that it
// always says when nothing more comes.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ToNetwork } from '../../../worker/network/ports.js';
import {
  createStepRecorder,
  type RecordedStep,
  type StepExporter,
} from '../../../worker/step-trace/step-recorder.js';

type Recorded = ToNetwork & { readonly kind: 'recorded' };

function openRecorder(exporter?: StepExporter) {
  const sent: Recorded[] = [];
  const recorder = createStepRecorder((message) => sent.push(message as Recorded), exporter);
  /** Takes the step that `step` steps are committed before. */
  const take = (step: number): void => {
    const spans = recorder.begin({ run: 'r', generation: 1, rank: 0, step, phase: 'pixel' });
    spans?.turn('data', 0, 0);
    spans?.turn('compute', 0, 0);
    spans?.turn('data', 1, 1);
    spans?.rest(0);
    spans?.turn('exchange');
    spans?.end();
    spans?.end();
    spans?.turn('too late');
  };
  return { recorder, sent, take };
}

const order = (firstStep: number, endStep: number) =>
  ({ kind: 'record', id: 9, firstStep, endStep }) as const;

test('only the steps that were asked for are recorded, by the number that they get', () => {
  const { recorder, sent, take } = openRecorder();
  take(3);
  recorder.onOrder(order(5, 7));
  assert.ok(recorder.isOn);
  for (const step of [3, 4, 5, 6]) take(step);
  assert.deepEqual(
    sent.map(({ id, isLast, spans }) => [id, isLast, spans[0]?.step]),
    [
      [9, false, 5],
      [9, true, 6],
    ],
  );
  assert.ok(!recorder.isOn);
  assert.equal(recorder.begin({ run: 'r', generation: 1, rank: 0, step: 5, phase: '' }), undefined);
});

test('parts lie on the lane of their device, inside the step', () => {
  const { recorder, sent, take } = openRecorder();
  recorder.onOrder(order(1, 2));
  take(0);
  const spans = sent[0]?.spans ?? [];
  assert.deepEqual(
    spans.map(({ thread, name, microShard }) => [thread, name, microShard]),
    [
      ['compute', 'data', 0],
      ['compute', 'compute', 0],
      ['device 1', 'data', 1],
      ['compute', 'exchange', undefined],
      ['compute', 'step', undefined],
    ],
  );
  const endOf = ({ startUs, durationUs = 0 }: (typeof spans)[number]): number =>
    startUs + durationUs;
  const whole = spans.at(-1);
  assert.ok(whole !== undefined);
  for (const span of spans) {
    assert.ok((span.durationUs ?? -1) >= 0);
    assert.ok(span.startUs >= whole.startUs && endOf(span) <= endOf(whole));
  }
});

test('an order that comes too late, or is taken back, is answered with an end', () => {
  const { recorder, sent, take } = openRecorder();
  recorder.onOrder(order(5, 7));
  take(8);
  assert.deepEqual(sent, [{ kind: 'recorded', id: 9, spans: [], isLast: true }]);
  recorder.onOrder(order(5, 100));
  take(8);
  recorder.onOrder(order(5, 5));
  assert.deepEqual(
    sent.map(({ isLast, spans }) => [isLast, spans.length]),
    [
      [true, 0],
      [false, 5],
      [true, 0],
    ],
  );
  take(9);
  assert.equal(sent.length, 3);
});

test('a step that is given up is recorded as far as it came', () => {
  const { recorder, sent } = openRecorder();
  recorder.onOrder(order(1, 9));
  recorder.begin({ run: 'r', generation: 1, rank: 0, step: 0, phase: '' })?.turn('exchange');
  recorder.halt();
  recorder.begin({ run: 'r', generation: 2, rank: 0, step: 0, phase: '' })?.turn('data');
  recorder.begin({ run: 'r', generation: 2, rank: 0, step: 1, phase: '' });
  assert.deepEqual(
    sent.map(({ spans }) => spans.map(({ name, generation }) => `${name} ${generation}`)),
    [
      ['exchange 1', 'step 1'],
      ['data 2', 'step 2'],
    ],
  );
});

test('an exporter gets the steps that it wants, beside a trace', () => {
  const exported: RecordedStep[] = [];
  const { recorder, sent, take } = openRecorder({
    wants: ({ step }) => step % 2 === 0,
    export: (step) => exported.push(step),
    close: () => Promise.resolve(),
  });
  assert.ok(recorder.isOn);
  recorder.onOrder(order(4, 6));
  for (let step = 0; step < 6; step++) take(step);
  assert.deepEqual(
    exported.map(({ step, run }) => [run, step]),
    [
      ['r', 0],
      ['r', 2],
      ['r', 4],
    ],
  );
  assert.deepEqual(
    sent.map(({ spans }) => spans[0]?.step),
    [4, 5],
  );
});
