// Events for tests, and those that a test hears: each is held to the schema of its type.

import assert from 'node:assert/strict';
import { createRunEvents, type RunEvents } from '../../../coordinator/edge/run-events.js';
import { parseCloudEvent, type CloudEvent } from '../../../shared/events/bus.js';

/** An event of any type and data, right or wrong. */
export function anyEvent(run: string, type: string, id: string, data: object = {}): CloudEvent {
  return {
    ...{ specversion: '1.0', datacontenttype: 'application/json' },
    ...{ id: `${run}/${id}`, subject: id, source: `lockstep/${run}` },
    ...{ type: `lockstep.${type}`, time: '2026-01-02T03:04:05.678Z' },
    data: data as CloudEvent['data'],
  };
}

/** The data of a committed step. */
export function stepData(step: number, generation = 1) {
  const seconds = { data: 0, compute: 1, exchange: 0, update: 0 };
  const speed = { images_per_s: 1, eta_s: 0 };
  return { generation, step, phase: 'pixel', metrics: { loss: 0.5 }, seconds, ...speed };
}

/** Fails for an event that a reader would not take. */
export function assertEvents(events: readonly CloudEvent[]): void {
  for (const event of events)
    assert.ok(parseCloudEvent(event), `not as its schema says: ${JSON.stringify(event)}`);
}

/** A run's events with all that was published. */
export function createHeardEvents(now: () => number = Date.now): {
  readonly events: RunEvents;
  readonly heard: CloudEvent[];
} {
  const heard: CloudEvent[] = [];
  const events = createRunEvents({ run: 'r', now, onNotice: assert.fail });
  events.subscribe('test', (event) => void heard.push(event));
  return { events, heard };
}
