// What the Trace Event Format asks of complete events, beside their fields: on a thread, one lies
// in another or beside it.

import assert from 'node:assert/strict';
import type { ChromeEvent } from '../../../watch/step-trace/chrome-trace.js';

/** Fails where two complete events of a thread overlap without one being in the other. */
export function requireNesting(events: readonly ChromeEvent[]): void {
  const threads = new Map<string, { event: ChromeEvent; start: number; end: number }[]>();
  for (const event of events) {
    if (event.ph !== 'X') continue;
    const key = `${event.pid} ${event.tid}`;
    const start = event.ts ?? NaN;
    const spans = threads.get(key) ?? [];
    threads.set(key, [...spans, { event, start, end: start + (event.dur ?? NaN) }]);
  }
  for (const spans of threads.values()) {
    const open: typeof spans = [];
    for (const span of spans.sort((a, b) => a.start - b.start || b.end - a.end)) {
      // Times are thousandths of a microsecond, and doubles.
      while ((open.at(-1)?.end ?? Infinity) <= span.start + 1e-6) open.pop();
      const outer = open.at(-1);
      assert.ok(
        outer === undefined || span.end <= outer.end + 1e-6,
        `${JSON.stringify(span.event)} ends after ${JSON.stringify(outer?.event)}`,
      );
      open.push(span);
    }
  }
}
