import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { CloudEvent } from '../../../shared/events/bus.js';
import { generationOf } from '../../../shared/words.js';
import { createRunHistory } from '../../../watch/history/history.js';
import type { RunHistory } from '../../../watch/history/picture.js';
import { createRecentPicture } from '../../../watch/history/recent-picture.js';
import {
  createStory,
  firstTermWorld,
  longStory,
  storyTime,
} from '../../support/watch/run-story.js';

function historyOf(events: readonly CloudEvent[]): RunHistory {
  const history = createRunHistory();
  for (const event of events) history.add(event);
  return history;
}

/** A run with everything in it: 20 steps, a loss, a rollback, a join, a take-over, an end. */
function eventfulStory(): CloudEvent[] {
  const story = createStory();
  story.started(0, { last_step: 20, until: 20 });
  story.tell(0, 'run.scaled', { workers: 3 });
  story.world(2, firstTermWorld(1), 0, ['w-0', 'w-1', 'w-2']);
  for (let step = 1; step <= 8; step++) story.step(2 + step, step);
  story.tell(6, 'checkpoint.committed', { step: 4, sha256: 'a'.repeat(64), url: 'c' });
  story.sample(10, 8, 25.5);
  const reason = 'sent nothing for 2 s';
  const lost = { worker: 'w-2', reason, generation: firstTermWorld(1), silent_ms: 2000 };
  story.tell(13, 'world.lost', lost);
  story.tell(13, 'world.rolledBack', { generation: firstTermWorld(2), step: 4, from: 8 });
  story.world(13, firstTermWorld(2), 4, ['w-0', 'w-1']);
  for (let step = 5; step <= 10; step++)
    story.step(10 + step, step, step <= 8 ? { redone: true } : {});
  story.world(22, firstTermWorld(3), 10, ['w-0', 'w-1', 'w-2#2']);
  for (let step = 11; step <= 14; step++) story.step(12 + step, step);
  story.observed(26.5, 14, ['w-0', 'w-1', 'w-2']);
  // A new coordinator, which is told of step 14 again.
  story.started(40, { term: 2, step: 10 });
  story.world(41, generationOf(2, 1), 14, ['w-0', 'w-1', 'w-2#2']);
  story.step(41, 14);
  for (let step = 15; step <= 20; step++) story.step(27 + step, step, step === 17 ? skipped : {});
  story.tell(48, 'checkpoint.committed', { step: 20, sha256: 'b'.repeat(64), url: 'c' });
  story.ended(48, 'finished', 20, 'finished at step 20');
  return story.events;
}

const skipped = { skipped: true, metrics: { 'loss/generator': null } } as const;

describe('a recent picture', () => {
  it('is made a twentieth of the time at most, and anew when it must be', () => {
    let [now, made] = [0, 0];
    const newest = () => {
      now += 50;
      return { ...createRunHistory().picture(), step: ++made };
    };
    const recent = createRecentPicture(newest, () => now);
    const stepAt = (ms: number): number => {
      now = ms;
      return recent.picture().step;
    };
    assert.deepEqual([0, 60, 1_049, 1_050, 1_110].map(stepAt), [1, 1, 1, 2, 2]);
    recent.renew();
    assert.deepEqual([stepAt(1_120), stepAt(1_180)], [3, 3]);
  });

  it('is the newest where it costs nothing', () => {
    let made = 0;
    const newest = () => ({ ...createRunHistory().picture(), step: ++made });
    const recent = createRecentPicture(newest, () => 0);
    assert.deepEqual([recent.picture().step, recent.picture().step], [1, 2]);
  });
});

describe('the history of a run', () => {
  it('shows nothing of a run that nothing is known of', () => {
    const picture = createRunHistory().picture();
    assert.equal(picture.state, 'unknown');
    assert.equal(picture.step, 0);
    assert.deepEqual(createRunHistory().timeLine(), { worlds: [], happenings: [] });
    assert.deepEqual(createRunHistory().series({ points: 10 }).step, []);
  });

  it('follows the run from its start', () => {
    const story = createStory();
    story.started(0);
    const history = historyOf(story.events);
    assert.equal(history.picture().state, 'starting');
    assert.equal(history.picture().phase, 'pixel');
    story.world(1, firstTermWorld(1), 0, ['w-0']);
    story.step(2, 1, { metrics: { 'loss/generator': 0.25, mse: null } });
    for (const event of story.events.slice(1)) assert.ok(history.add(event));
    const { state, step, metrics, images_per_s, workers, time } = history.picture();
    assert.deepEqual([state, step, images_per_s, time], ['running', 1, 16, storyTime(2)]);
    assert.deepEqual(metrics, { 'loss/generator': 0.25, mse: null });
    assert.deepEqual(
      workers.map(({ worker, stage }) => [worker, stage]),
      [['w-0', 'entering']],
    );
  });

  it('knows when it last came forward, whatever starts again without a step', () => {
    const story = createStory();
    story.started(10);
    story.started(20, { term: 2 });
    const progressed = (): string => historyOf(story.events).picture().progressed;
    assert.equal(progressed(), storyTime(10), 'it crashed before its first step');
    story.world(21, firstTermWorld(1), 0, ['w-0']);
    story.step(30, 1);
    story.started(40, { term: 3 });
    assert.equal(progressed(), storyTime(30), 'it crashed after a step');
    story.ended(50, 'stopped', 1, 'asked to');
    assert.equal(progressed(), storyTime(30));
    story.started(900, { term: 4 });
    assert.equal(progressed(), storyTime(900), 'it was resumed after a stop');
  });

  it('has what happened, who came and who went, and how it ended', () => {
    const history = historyOf(eventfulStory());
    const { state, step, counts, checkpoint, evaluation, reason } = history.picture();
    assert.deepEqual([state, step, reason], ['finished', 20, 'finished at step 20']);
    assert.deepEqual(counts, {
      ...{ worlds: 4, joined: 1, lost: 1, drained: 0, skipped: 1, redone: 4 },
      ...{ checkpoints: 2, terms: 2 },
    });
    assert.equal(checkpoint?.step, 20);
    assert.equal(evaluation, undefined, 'the run went back behind its only evaluation');
    const kinds = history.timeLine().happenings.map(({ kind }) => kind);
    assert.deepEqual(kinds, [
      ...['started', 'scaled', 'world', 'checkpoint', 'sample', 'lost', 'rolledBack', 'world'],
      ...['joined', 'world', 'term', 'world', 'skipped', 'checkpoint', 'finished'],
    ]);
    const worlds = history.timeLine().worlds.map(({ fromStep, toStep }) => [fromStep, toStep]);
    assert.deepEqual(worlds, [
      [0, 4],
      [4, 10],
      [10, 10],
      [14, 20],
    ]);
  });

  it('counts each step once in the series, and as it was taken last', () => {
    const { step, time } = historyOf(eventfulStory()).series({ points: 1000 });
    assert.deepEqual(
      step,
      Array.from({ length: 20 }, (_, i) => i + 1),
    );
    assert.equal(time[5], Date.parse(storyTime(16)), 'step 6 was taken again');
    assert.equal(time[13], Date.parse(storyTime(26)), 'step 14 was told again, not taken');
  });

  it('leaves what was rolled back out before it is taken again', () => {
    const story = createStory();
    story.started(0);
    story.world(1, firstTermWorld(1), 0, ['w-0', 'w-1']);
    for (let step = 1; step <= 8; step++) story.step(1 + step, step);
    story.tell(12, 'world.rolledBack', { generation: firstTermWorld(2), step: 3, from: 8 });
    const history = historyOf(story.events);
    assert.deepEqual(history.series({ points: 100 }).step, [1, 2, 3]);
    assert.deepEqual([history.picture().step, history.picture().counts.redone], [3, 5]);
  });

  it('accounts for all of the time', () => {
    // Term 1 is heard from 0 to 26.5 s, term 2 leads from 40 to 48 s.
    const { goodput } = historyOf(eventfulStory()).picture();
    assert.deepEqual(goodput, {
      ...{ share: 0.5507, wall_s: 34.5, useful_s: 19 },
      // Lost: from step 8 at 10 s to step 5 at 15 s, which took 1 s itself.
      lost_s: { redone: 4, skipped: 1, lost: 4, membership: 2, starting: 3, other: 1.5 },
    });
  });

  it('has the workers as they were observed last, and of a newer world its members', () => {
    const story = createStory();
    story.started(0);
    story.world(1, firstTermWorld(1), 0, ['w-0', 'w-1']);
    story.observed(3, 2, ['w-0', 'w-1']);
    const history = historyOf(story.events);
    assert.equal(history.picture().bytes_per_step, 3000);
    assert.equal(history.picture().workers[1].seconds.wait, 0.1);
    story.world(4, firstTermWorld(2), 2, ['w-1', 'w-5']);
    history.add(story.events.at(-1));
    assert.deepEqual(
      history.picture().workers.map(({ worker, rank, stage }) => [worker, rank, stage]),
      [
        ['w-1', 0, 'training'],
        ['w-5', 1, 'entering'],
      ],
    );
  });

  it('refuses what is no event, and what it has already', () => {
    const story = createStory();
    story.started(0);
    const [started] = story.events;
    const history = historyOf([started]);
    for (const wrong of [undefined, 7, 'x', {}, { ...started, data: {} }, { type: 'run.x' }])
      assert.equal(history.add(wrong), false);
    assert.equal(history.add(started), false);
  });

  it('thins the older half of a very long run out, and loses none of its sums', () => {
    const events = longStory(1000);
    const all = historyOf(events).picture();
    const limits = { rows: 100, events: 50, observations: 20, happenings: 30 };
    const thinned = createRunHistory(limits);
    for (const event of events) thinned.add(event);
    const { step } = thinned.series({ points: 1000 });
    assert.ok(step.length <= 100);
    assert.equal(step.at(-1), 1000);
    assert.deepEqual(thinned.picture().goodput, all.goodput);
  });

  it('makes the line of worlds again for what is on it, and not for each step', () => {
    const story = createStory();
    story.started(0);
    story.world(1, firstTermWorld(1), 0, ['w-0']);
    const history = historyOf(story.events);
    const after = (): unknown => (history.add(story.events.at(-1)), history.timeLine().worlds);
    const { worlds } = history.timeLine();
    story.step(2, 1);
    assert.equal(after(), worlds);
    story.observed(3, 1, ['w-0']);
    assert.equal(after(), worlds);
    story.ended(4, 'stopped', 1);
    assert.notEqual(after(), worlds);
    assert.equal(history.timeLine().worlds[0].toStep, 1);
  });

  it('takes many thousand steps in, and draws them at once', () => {
    const events = longStory(20_000);
    const cpuMs = (work: () => void): number => {
      const before = process.cpuUsage();
      work();
      return process.cpuUsage(before).user / 1000;
    };
    const history = createRunHistory();
    const inMs = cpuMs(() => events.forEach((event) => history.add(event)));
    history.picture();
    const drawnMs = cpuMs(() => void history.series({ points: 1000 }));
    const { step } = history.series({ points: 1000 });
    assert.ok(step.length <= 1000 && step.length > 900);
    // On a quiet core these are 200 ms and 4 ms.
    assert.ok(inMs < 4_000 && drawnMs < 200, `${inMs} ms in, ${drawnMs} ms to draw`);
  });
});
