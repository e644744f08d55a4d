// A run's history under any order and any loss of its events, against laws and second versions that
// are too simple to be wrong.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { CloudEvent } from '../../shared/events/bus.js';
import { createRunHistory } from '../../watch/history/history.js';
import { lossCauses, type RunHistory } from '../../watch/history/picture.js';
import { createStory, firstTermWorld } from '../support/watch/run-story.js';

function historyOf(events: readonly CloudEvent[]): RunHistory {
  const history = createRunHistory();
  for (const event of events) history.add(event);
  return history;
}

/** What may come next in a run, and how many seconds later. */
const deed = fc.record({
  what: fc.constantFrom('step', 'step', 'step', 'step', 'lost', 'back', 'join', 'save', 'skip'),
  afterS: fc.double({ min: 0, max: 5, noNaN: true }),
  stepS: fc.double({ min: 0, max: 4, noNaN: true }),
});

/** Events of a run in their order. */
const anyRun = fc.array(deed, { maxLength: 60 }).map((deeds) => {
  const story = createStory();
  let [second, step, world] = [1, 0, 1];
  story.started(0);
  story.world(1, firstTermWorld(world), 0, ['w-0']);
  for (const { what, afterS, stepS } of deeds) {
    second += afterS;
    const seconds = { data: 0, compute: stepS, exchange: 0, update: 0 };
    if (what === 'step') story.step(second, ++step, { seconds });
    else if (what === 'skip') story.step(second, ++step, { seconds, skipped: true });
    else if (what === 'save')
      story.tell(second, 'checkpoint.committed', { step, sha256: '', url: '' });
    else if (what === 'lost') {
      const generation = firstTermWorld(world);
      story.tell(second, 'world.lost', { worker: 'w-0', reason: 'x', generation, silent_ms: 1 });
    } else {
      if (what === 'back') step = Math.floor(step / 2);
      story.world(second, firstTermWorld(++world), step, ['w-0', `w-${world}`]);
    }
  }
  return { events: story.events, step };
});

test('any order of the events, some of them twice, gives the same picture', () => {
  const shuffled = anyRun.chain(({ events }) =>
    fc.record({
      events: fc.constant(events),
      others: fc.shuffledSubarray([...events, ...events], {
        minLength: 2 * events.length,
        maxLength: 2 * events.length,
      }),
    }),
  );
  fc.assert(
    fc.property(shuffled, ({ events, others }) => {
      const history = historyOf(events);
      const other = createRunHistory();
      // What is looked at between two events must not show later.
      for (const [i, event] of others.entries())
        if (other.add(event) && i % 3 === 0) other.picture();
      assert.deepEqual(other.picture(), history.picture());
      assert.deepEqual(other.timeLine(), history.timeLine());
      const request = { points: 1000 };
      assert.deepEqual(other.series(request), history.series(request));
    }),
    { numRuns: 60 },
  );
});

test('steps that count are those up to where the run is, each once', () => {
  fc.assert(
    fc.property(anyRun, ({ events, step }) => {
      const { step: steps } = historyOf(events).series({ points: 1000 });
      assert.deepEqual(
        steps,
        Array.from({ length: step }, (_, i) => i + 1),
      );
    }),
    { numRuns: 100 },
  );
});

test('wall time is useful time and lost time, whatever is missing', () => {
  const lossy = anyRun.chain(({ events }) => fc.subarray(events));
  fc.assert(
    fc.property(lossy, (events) => {
      const { wall_s: wall, useful_s: useful, lost_s, share } = historyOf(events).picture().goodput;
      const lost = lossCauses.map((cause) => lost_s[cause]);
      const sum = lost.reduce((all, one) => all + one, useful);
      assert.ok(Math.abs(wall - sum) < 0.01, `${wall} is not ${sum}`);
      assert.ok([wall, useful, ...lost].every((one) => one >= 0));
      assert.ok(share >= 0 && share <= 1);
      const times = events.map(({ time }) => Date.parse(time));
      const span = times.length === 0 ? 0 : (Math.max(...times) - Math.min(...times)) / 1000;
      assert.ok(wall <= span + 0.01, `${wall} s in a run of ${span} s`);
    }),
    { numRuns: 200 },
  );
});

test('thinned out, each stretch keeps its extremes', () => {
  const values = fc.array(fc.double({ min: 1e-6, max: 1e6, noNaN: true }), {
    minLength: 1,
    maxLength: 400,
  });
  fc.assert(
    fc.property(values, fc.integer({ min: 2, max: 50 }), (losses, points) => {
      const story = createStory();
      story.started(0);
      story.world(0, firstTermWorld(1), 0, ['w-0']);
      for (const [i, loss] of losses.entries()) story.step(i, i + 1, { metrics: { loss } });
      const { step, time, columns } = historyOf(story.events).series({ points });
      const drawn = columns['loss'];
      assert.ok(step.length <= points || losses.length <= points);
      assert.deepEqual([step.length, step.length], [time.length, drawn.length]);
      const stretches = losses.length <= points ? losses.length : Math.floor(points / 2);
      for (let i = 0; i < stretches; i++) {
        const isIn = (at: number): boolean =>
          Math.floor(((at - 1) * stretches) / losses.length + 1e-9) === i;
        const all = losses.filter((_, index) => isIn(index + 1));
        const kept = drawn.filter((_, index) => isIn(step[index])).map(Number);
        assert.equal(Math.min(...kept), Math.min(...all));
        assert.equal(Math.max(...kept), Math.max(...all));
      }
    }),
    { numRuns: 200 },
  );
});
