import assert from 'node:assert/strict';
import { it } from 'node:test';
import type { EventKind } from '../../../shared/events/bus.js';
import { createEventQueue } from '../../../shared/events/event-queue.js';

const event = (id: string, kind: EventKind = 'step') => ({
  kind,
  id,
  subject: 's',
  body: Buffer.alloc(10),
});

it('a full queue drops the oldest step events, never the first and others last', () => {
  for (const limits of [
    { events: 3, bytes: 1e6 },
    { events: 1e6, bytes: 30 },
  ]) {
    const queue = createEventQueue(limits);
    assert.deepEqual(queue.push(event('first')), []);
    queue.push(event('world', 'world'));
    queue.push(event('a'));
    assert.deepEqual(
      queue.push(event('b')).map(({ id }) => id),
      ['a'],
    );
    const left: string[] = [];
    for (let next = queue.first(); next !== undefined; next = queue.first()) {
      left.push(next.id);
      queue.taken();
    }
    assert.deepEqual(left, ['first', 'world', 'b']);
  }
});
