import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { emptyQueue, finish, offer, type QueueChange } from '../../../worker/evaluation/queue.js';

const request = (step: number, isLast = false) => ({ step, isLast });
type Request = ReturnType<typeof request>;

test('an idle evaluator starts at once', () => {
  const change = offer(emptyQueue<Request>(), request(1));
  assert.deepEqual(change.start, request(1));
  assert.equal(change.skipped, undefined);
});

test('one request waits, and a newer one takes its place', () => {
  const busy = offer(emptyQueue<Request>(), request(1)).queue;
  const second = offer(busy, request(2));
  assert.deepEqual([second.start, second.skipped], [undefined, undefined]);
  const third = offer(second.queue, request(3));
  assert.deepEqual([third.start, third.skipped], [undefined, request(2)]);
  const next = finish(third.queue);
  assert.deepEqual(next.start, request(3));
  assert.equal(finish(next.queue).start, undefined);
});

test('the last of the run keeps its place', () => {
  const busy = offer(emptyQueue<Request>(), request(1)).queue;
  const waiting = offer(busy, request(2, true));
  const late = offer(waiting.queue, request(1));
  assert.deepEqual(late.skipped, request(1));
  assert.deepEqual(finish(late.queue).start, request(2, true));
});

test('every request is started or skipped, once, and the last one is started', () => {
  fc.assert(
    fc.property(fc.array(fc.boolean(), { maxLength: 60 }), (isFinishing) => {
      let queue = emptyQueue<Request>();
      const seen: number[] = [];
      const started: number[] = [];
      let step = 0;
      const apply = (change: QueueChange<Request>): void => {
        queue = change.queue;
        for (const { step } of [change.start, change.skipped].filter((r) => r !== undefined))
          seen.push(step);
        if (change.start !== undefined) started.push(change.start.step);
      };
      for (const isFinish of isFinishing)
        if (isFinish && queue.running !== undefined) apply(finish(queue));
        else apply(offer(queue, request(++step)));
      apply(offer(queue, request(++step, true)));
      while (queue.running !== undefined) apply(finish(queue));
      assert.deepEqual(
        seen.sort((a, b) => a - b),
        Array.from({ length: step }, (_, i) => i + 1),
      );
      assert.equal(started.at(-1), step);
    }),
  );
});
