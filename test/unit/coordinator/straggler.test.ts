// Who holds the others up: by its own work, or because all wait for its link.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  averagePaces,
  createPaceAverages,
  findStraggler,
  observePace,
  type PaceView,
  type Straggler,
} from '../../../coordinator/core/straggler.js';
import type { Pace } from '../../../shared/control/messages.js';

/** Seconds of data, compute and exchange, and the peer that it waited for. */
function paceOf(dataS: number, computeS: number, exchangeS: number, waits = ''): Pace {
  const [waitedFor = '', waitedS = '0'] = waits.split(' ');
  return { dataS, computeS, exchangeS, updateS: 0.01, waitedFor, waitedS: Number(waitedS) };
}

function view(worker: string, ...pace: Parameters<typeof paceOf>): PaceView {
  return { worker, pace: paceOf(...pace) };
}

const noSteps = { ...paceOf(0, 0, 0), updateS: 0 };

interface Case {
  readonly name: string;
  readonly views: readonly PaceView[];
  readonly expected?: Straggler;
}

const cases: readonly Case[] = [
  { name: 'no workers', views: [] },
  { name: 'one worker', views: [view('a', 0.5, 0.5, 0)] },
  {
    name: 'two alike',
    views: [view('a', 0, 0.4, 0.1, 'b 0.01'), view('b', 0, 0.41, 0.09, 'a 0.002')],
  },
  {
    name: 'two, one slow in compute, awaited by the other',
    views: [view('a', 0, 0.4, 0.5, 'b 0.4'), view('b', 0, 0.8, 0.1, 'a 0')],
    expected: { worker: 'b', phase: 'compute', excessS: 0.4 },
  },
  {
    name: 'two that wait for each other: the one that is awaited longer',
    views: [view('a', 0, 0.4, 0.6, 'b 0.2'), view('b', 0, 0.4, 0.6, 'a 0.3')],
    expected: { worker: 'a', phase: 'exchange', excessS: 0.3 },
  },
  {
    name: 'five, one slow in data, which hides in the exchange of the others',
    views: [
      view('a', 0, 0.4, 0.7, 'c 0.6'),
      view('b', 0.01, 0.4, 0.7, 'c 0.6'),
      view('c', 0.6, 0.4, 0.1, 'a 0.01'),
      view('d', 0, 0.4, 0.7, 'c 0.6'),
      view('e', 0, 0.4, 0.7, 'c 0.6'),
    ],
    expected: { worker: 'c', phase: 'data', excessS: 0.6 },
  },
  {
    name: 'slow in both: the phase that exceeds most',
    views: [view('a', 0.1, 0.4, 0.7), view('b', 0.1, 0.4, 0.7), view('c', 0.3, 0.8, 0.1)],
    expected: { worker: 'c', phase: 'compute', excessS: 0.6 },
  },
  {
    name: 'two of five slow: the slower one',
    views: [
      view('a', 0, 0.4, 0.5),
      view('b', 0, 0.7, 0.2),
      view('c', 0, 0.4, 0.5),
      view('d', 0, 0.8, 0.1),
      view('e', 0, 0.4, 0.5),
    ],
    expected: { worker: 'd', phase: 'compute', excessS: 0.4 },
  },
  {
    name: 'two equally slow: the first by name, whatever the order of the views',
    views: [view('d', 0, 0.8, 0.1), view('c', 0, 0.4, 0.5), view('b', 0, 0.8, 0.1)].concat(
      view('a', 0, 0.4, 0.5),
    ),
    expected: { worker: 'b', phase: 'compute', excessS: 0.4 },
  },
  {
    name: 'a slow link: works as the others, and half of them name it',
    views: [
      view('a', 0, 0.4, 0.7, 'b 0.5'),
      view('b', 0, 0.4, 0.7, 'd 0.01'),
      view('c', 0, 0.4, 0.7, 'b 0.4'),
      view('d', 0, 0.4, 0.7, 'a 0.5'),
      view('e', 0, 0.4, 0.7, 'c 0.5'),
    ],
    expected: { worker: 'b', phase: 'exchange', excessS: 0.45 },
  },
  {
    name: 'everyone waits for another: no one',
    views: [
      view('a', 0, 0.4, 0.7, 'b 0.5'),
      view('b', 0, 0.4, 0.7, 'c 0.5'),
      view('c', 0, 0.4, 0.7, 'd 0.5'),
      view('d', 0, 0.4, 0.7, 'a 0.5'),
    ],
  },
  {
    name: 'all name one, but for a moment only',
    views: [view('a', 0, 0.1, 0.1, 'b 0.019'), view('b', 0, 0.1, 0.1), view('c', 0, 0.1, 0.1, 'b')],
  },
  {
    name: 'more than 20 ms, but less than a tenth of the step',
    views: [view('a', 0, 2, 1), view('b', 0, 2, 1), view('c', 0, 2.2, 0.8)],
  },
  {
    name: 'more than a tenth of the step, but less than 20 ms',
    views: [view('a', 0, 0.02, 0.02), view('b', 0, 0.035, 0.005)],
  },
  {
    name: 'a worker without a step does not count',
    views: [{ worker: 'a', pace: noSteps }, view('b', 0, 0.8, 0.1, 'a 0.5')],
  },
  {
    name: 'a larger share takes longer, and is no fault',
    views: [
      { ...view('a', 0.1, 0.8, 0.1), share: 2 },
      { ...view('b', 0.05, 0.4, 0.5), share: 1 },
    ],
  },
  {
    name: 'a smaller share in the same time is slow',
    views: [
      { ...view('a', 0, 0.8, 0.1), share: 2 },
      { ...view('b', 0, 0.8, 0.1), share: 1 },
    ],
    expected: { worker: 'b', phase: 'compute', excessS: 0.4 },
  },
];

for (const { name, views, expected } of cases)
  test(`straggler: ${name}`, () => {
    const found = findStraggler(views);
    assert.deepEqual(found && { ...found, excessS: Number(found.excessS.toFixed(6)) }, expected);
  });

test('averages: one slow step among many names no one, a slow worker is named', () => {
  const averages = createPaceAverages();
  const status = (step: number, pace: Pace) => ({ generation: 7, step, pace });
  for (let step = 1; step <= 10; step++) {
    observePace(averages, 'a', status(step, paceOf(0, 0.4, 0.2)));
    observePace(averages, 'b', status(step, paceOf(0, step === 10 ? 0.6 : 0.4, 0.2)));
  }
  assert.equal(findStraggler(averagePaces(averages)), undefined);
  for (let step = 11; step <= 20; step++)
    observePace(averages, 'b', status(step, paceOf(0, 0.6, 0.02)));
  assert.equal(findStraggler(averagePaces(averages))?.worker, 'b');
});

test('averages: a repeated status counts once', () => {
  const averages = createPaceAverages();
  observePace(averages, 'a', { generation: 1, step: 1, pace: paceOf(0, 1, 0) });
  for (let i = 0; i < 50; i++)
    observePace(averages, 'a', { generation: 1, step: 2, pace: paceOf(0, 2, 0) });
  assert.equal(averagePaces(averages)[0]?.pace.computeS, 1.5);
});

test('averages: the peer that was waited for most, of a few', () => {
  const averages = createPaceAverages();
  for (let step = 1; step <= 100; step++)
    observePace(averages, 'a', {
      generation: 1,
      step,
      pace: paceOf(0, 1, 1, step % 2 === 0 ? 'b 0.4' : `w${step} 0.1`),
    });
  const [view] = averagePaces(averages);
  assert.equal(view?.pace.waitedFor, 'b');
  assert.ok(view.pace.waitedS > 0.1 && view.pace.waitedS < 0.3, `${view.pace.waitedS}`);
  assert.ok((averages.workers.get('a')?.waits.size ?? 99) <= 8);
});

test('averages: a later world starts anew, an earlier one is not heard', () => {
  const averages = createPaceAverages();
  const pace = paceOf(0, 1, 0);
  observePace(averages, 'a', { generation: 1, step: 5, pace });
  observePace(averages, 'b', { generation: 2, step: 5, pace });
  observePace(averages, 'a', { generation: 1, step: 6, pace });
  observePace(averages, 'c', { generation: 2, step: 5, pace: noSteps });
  assert.deepEqual(
    averagePaces(averages).map(({ worker }) => worker),
    ['b'],
  );
});
