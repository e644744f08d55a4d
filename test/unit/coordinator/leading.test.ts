// The coordinator's wiring: what is decided on together, in which order, and what follows the end.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { CoordinatorEvent } from '../../../coordinator/core/state.js';
import { transition } from '../../../coordinator/core/transition.js';
import { lead, type LeadingPorts } from '../../../coordinator/leading.js';
import { newHello, storyConfig } from '../../support/coordinator-story.js';

const scale = (workers: number): CoordinatorEvent => ({ kind: 'scaleAsked', workers });
const nothing = (): void => undefined;

/** A leader on a clock that goes on by `turn`; gives the batches that were decided on. */
function createLeader(ports: Partial<LeadingPorts> = {}) {
  let later: (() => void)[] = [];
  const timers: (() => void)[] = [];
  const batches: string[] = [];
  const log: string[] = [];
  const leading = lead({
    ...{ config: storyConfig, savedStep: undefined, runUrl: 'file://r', record: '{}' },
    clock: {
      nowMs: () => 0,
      after: () => nothing,
      every: (_ms, run) => {
        timers.push(run);
        return () => log.push('timer ended');
      },
      soon: (run) => void later.push(run),
    },
    sessions: { send: nothing, dismiss: nothing, broadcast: ({ kind }) => log.push(kind) },
    reporter: {
      ...{ formed: nothing, lost: nothing, target: nothing, superseded: nothing },
      ...{ message: nothing, notice: nothing, observed: nothing },
      ended: (_ending, _worldSize, done) => done(),
    },
    checkpoints: { find: nothing, commit: nothing, noteBest: nothing },
    newestTerm: (done) => done(1),
    holdTerm: (done) => done(undefined),
    decide: (_state, events) => {
      batches.push(events.map((e) => (e.kind === 'scaleAsked' ? e.workers : e.kind)).join());
      return [];
    },
    onOver: ({ reason }) => log.push(reason),
    ...ports,
  });
  const turn = (): void => {
    const due = later;
    later = [];
    for (const run of due) run();
  };
  return { leading, batches, turn, timers, log };
}

test('events wait for those that come with them, unless one is urgent', () => {
  const { leading, batches, turn } = createLeader();
  leading.soon(scale(1));
  leading.soon(scale(2));
  assert.deepEqual(batches, []);
  turn();
  assert.deepEqual(batches, ['1,2']);
  leading.soon(scale(3));
  leading.dispatch(scale(4));
  assert.deepEqual(batches, ['1,2', '3,4']);
  turn();
  assert.equal(batches.length, 2);
});

test('what comes while events are decided on is decided on afterwards', () => {
  const decide: LeadingPorts['decide'] = (_state, events) => {
    sizes.push(events.length);
    if (sizes.length === 1) leading.soon(scale(9));
    return [];
  };
  const sizes: number[] = [];
  const { leading, turn } = createLeader({ decide });
  leading.dispatch(scale(1));
  assert.deepEqual(sizes, [1]);
  turn();
  turn();
  assert.deepEqual(sizes, [1, 1]);
});

test('who says hello and fails at once has been welcomed all the same', () => {
  const sent: string[] = [];
  const { leading, turn } = createLeader({
    decide: transition,
    sessions: {
      send: (session, { kind }) => sent.push(`${kind} -> ${session}`),
      ...{ dismiss: nothing, broadcast: nothing },
    },
  });
  const said = { kind: 'message', session: 7, worker: 'w-0' } as const;
  leading.soon({ ...said, message: { ...newHello, worker: 'w-0' } });
  leading.soon({ ...said, message: { kind: 'failure', reason: 'none', sample: '', exitCode: 78 } });
  turn();
  assert.deepEqual(sent, ['welcome -> 7']);
});

test('checkpoints are searched and stored one after the other', () => {
  const asked: ((outcome: CoordinatorEvent) => void)[] = [];
  const { leading, batches } = createLeader({
    checkpoints: { find: (done) => void asked.push(done), commit: nothing, noteBest: nothing },
    decide: (_state, [event]) => {
      batches.push(event.kind);
      return event.kind === 'tick' ? [{ kind: 'findCheckpoint' }] : [];
    },
  });
  leading.dispatch({ kind: 'tick' });
  leading.dispatch({ kind: 'tick' });
  assert.equal(asked.length, 1);
  asked[0]({ kind: 'checkpointFound', step: 0, isStored: false });
  assert.equal(asked.length, 2);
  assert.deepEqual(batches, ['tick', 'tick', 'checkpointFound']);
});

test('what only a leader may is done by one that the store knows as such', () => {
  const manifest = {
    kind: 'storeManifest',
    ...{ snapshot: undefined as never, parts: [], worldSize: 1, fingerprint: '' },
    stepsToKeep: [],
  } as const;
  const done: string[] = [];
  const leadAs = (holder: string | undefined) =>
    createLeader({
      holdTerm: (tell) => tell(holder),
      checkpoints: {
        find: () => done.push('find'),
        commit: () => done.push('commit'),
        noteBest: nothing,
      },
      decide: (state, events, nowMs) => {
        const [event] = events;
        if (event.kind !== 'scaleAsked') return transition(state, events, nowMs);
        return event.workers === 1 ? [manifest] : [{ kind: 'findCheckpoint' }];
      },
    });
  for (const workers of [1, 2]) leadAs(undefined).leading.dispatch(scale(workers));
  assert.deepEqual(done, ['commit', 'find']);
  for (const workers of [1, 2]) {
    const { leading, log } = leadAs('pid 7 on there');
    leading.dispatch(scale(workers));
    assert.match(log.join(), /^another coordinator has taken term 1.*: pid 7 on there$/);
  }
  assert.equal(done.length, 2);
});

test('a later term ends it at once, and the end of the run when that is reported', () => {
  const later = createLeader({ newestTerm: (done) => done(2), decide: undefined });
  later.timers.forEach((run) => run());
  assert.match(later.log.join(), /^a coordinator of term 2 leads the run/);
  const ended = createLeader({ decide: undefined });
  ended.leading.dispatch({ kind: 'stopAsked', reason: 'SIGINT' });
  assert.deepEqual(ended.log, [
    'end',
    'stopped before the first step: SIGINT; nothing was checkpointed',
  ]);
  ended.leading.close();
  assert.deepEqual(ended.log.slice(2), ['timer ended', 'timer ended', 'timer ended']);
});

test('how the workers are is told every few seconds', () => {
  const observed: unknown[] = [];
  const intervals: number[] = [];
  const reporter = {
    ...{ formed: nothing, lost: nothing, target: nothing, superseded: nothing },
    ...{ message: nothing, notice: nothing, ended: nothing },
    observed: (world: unknown) => void observed.push(world),
  };
  const clock = {
    ...{ nowMs: () => 0, after: () => nothing, soon: nothing },
    every: (ms: number, run: () => void) => {
      intervals.push(ms);
      if (ms === 5_000) run();
      return nothing;
    },
  };
  const { leading } = createLeader({ reporter, clock });
  assert.ok(intervals.includes(5_000));
  assert.deepEqual(observed, [], 'there is no world yet');
  leading.close();
});
