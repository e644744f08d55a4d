// Who holds the others up: by its own work, or because all wait for its link.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  averagePaces,
  createPaceAverages,
  findStraggler,
  observePace,
  type PaceView,
} from '../../../coordinator/core/straggler.js';
import type { Pace } from '../../../shared/control/messages.js';

/** Seconds of data, compute and exchange, and the peer that it waited for. */
function paceOf(dataS: number, computeS: number, exchangeS: number, waits = ''): Pace {
  const [waitedFor = '', waitedS = '0'] = waits.split(' ');
  const bytes = { sentBytes: 0, receivedBytes: 0 };
  const seconds = { dataS, computeS, exchangeS, updateS: 0.01 };
  return { ...seconds, waitedFor, waitedS: Number(waitedS), ...bytes };
}

function view(worker: string, ...pace: Parameters<typeof paceOf>): PaceView {
  return { worker, pace: paceOf(...pace) };
}

const noSteps = { ...paceOf(0, 0, 0), updateS: 0 };

/** What it shows, the views, and the straggler: worker, phase and excess in seconds. */
const cases: readonly (readonly [string, readonly PaceView[], string?])[] = [
  ['no workers', []],
  ['one worker', [view('a', 0.5, 0.5, 0)]],
  ['two alike', [view('a', 0, 0.4, 0.1, 'b 0.01'), view('b', 0, 0.41, 0.09, 'a 0.002')]],
  [
    'two, one slow in compute, awaited by the other',
    [view('a', 0, 0.4, 0.5, 'b 0.4'), view('b', 0, 0.8, 0.1, 'a 0')],
    'b compute 0.4',
  ],
  [
    'two that wait for each other: the one that is awaited longer',
    [view('a', 0, 0.4, 0.6, 'b 0.2'), view('b', 0, 0.4, 0.6, 'a 0.3')],
    'a exchange 0.3',
  ],
  [
    'five, one slow in data, which hides in the exchange of the others',
    [
      view('a', 0, 0.4, 0.7, 'c 0.6'),
      view('b', 0.01, 0.4, 0.7, 'c 0.6'),
      view('c', 0.6, 0.4, 0.1, 'a 0.01'),
      view('d', 0, 0.4, 0.7, 'c 0.6'),
      view('e', 0, 0.4, 0.7, 'c 0.6'),
    ],
    'c data 0.6',
  ],
  [
    'slow in both: the phase that exceeds most',
    [view('a', 0.1, 0.4, 0.7), view('b', 0.1, 0.4, 0.7), view('c', 0.3, 0.8, 0.1)],
    'c compute 0.6',
  ],
  [
    'two of five slow: the slower one',
    [
      view('a', 0, 0.4, 0.5),
      view('b', 0, 0.7, 0.2),
      view('c', 0, 0.4, 0.5),
      view('d', 0, 0.8, 0.1),
      view('e', 0, 0.4, 0.5),
    ],
    'd compute 0.4',
  ],
  [
    'two equally slow: the first by name, whatever the order of the views',
    [view('d', 0, 0.8, 0.1), view('c', 0, 0.4, 0.5), view('b', 0, 0.8, 0.1)].concat(
      view('a', 0, 0.4, 0.5),
    ),
    'b compute 0.4',
  ],
  [
    'a slow link: works as the others, and half of them name it',
    [
      view('a', 0, 0.4, 0.7, 'b 0.5'),
      view('b', 0, 0.4, 0.7, 'd 0.01'),
      view('c', 0, 0.4, 0.7, 'b 0.4'),
      view('d', 0, 0.4, 0.7, 'a 0.5'),
      view('e', 0, 0.4, 0.7, 'c 0.5'),
    ],
    'b exchange 0.45',
  ],
  [
    'everyone waits for another: no one',
    [
      view('a', 0, 0.4, 0.7, 'b 0.5'),
      view('b', 0, 0.4, 0.7, 'c 0.5'),
      view('c', 0, 0.4, 0.7, 'd 0.5'),
      view('d', 0, 0.4, 0.7, 'a 0.5'),
    ],
  ],
  [
    'all name one, but for a moment only',
    [view('a', 0, 0.1, 0.1, 'b 0.019'), view('b', 0, 0.1, 0.1), view('c', 0, 0.1, 0.1, 'b')],
  ],
  [
    'more than 20 ms, but less than a tenth of the step',
    [view('a', 0, 2, 1), view('b', 0, 2, 1), view('c', 0, 2.2, 0.8)],
  ],
  [
    'more than a tenth of the step, but less than 20 ms',
    [view('a', 0, 0.02, 0.02), view('b', 0, 0.035, 0.005)],
  ],
  [
    'a worker without a step does not count',
    [{ worker: 'a', pace: noSteps }, view('b', 0, 0.8, 0.1, 'a 0.5')],
  ],
  [
    'a larger share takes longer, and is no fault',
    [
      { ...view('a', 0.1, 0.8, 0.1), share: 2 },
      { ...view('b', 0.05, 0.4, 0.5), share: 1 },
    ],
  ],
  [
    'a smaller share in the same time is slow',
    [
      { ...view('a', 0, 0.8, 0.1), share: 2 },
      { ...view('b', 0, 0.8, 0.1), share: 1 },
    ],
    'b compute 0.4',
  ],
];

for (const [name, views, expected] of cases)
  test(`straggler: ${name}`, () => {
    const found = findStraggler(views);
    const words = found && `${found.worker} ${found.phase} ${Number(found.excessS.toFixed(6))}`;
    assert.equal(words, expected);
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
