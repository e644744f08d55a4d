// A clock that a test moves by hand, for edges that wait.

import type { Clock } from '../../../shared/clock.js';

export interface HandClock extends Clock {
  /** Lets time pass, and whatever waits for promises in between. */
  pass(ms: number): Promise<void>;
}

/** A clock at 0. */
export function createHandClock(): HandClock {
  interface Timer {
    atMs: number;
    readonly everyMs: number;
    readonly run: () => void;
  }
  const timers = new Set<Timer>();
  let nowMs = 0;
  const start = (delayMs: number, everyMs: number, run: () => void): (() => void) => {
    const timer = { atMs: nowMs + delayMs, everyMs, run };
    timers.add(timer);
    return () => void timers.delete(timer);
  };
  const settle = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
  return {
    nowMs: () => nowMs,
    after: (delayMs, run) => start(delayMs, 0, run),
    every: (intervalMs, run) => start(intervalMs, intervalMs, run),
    soon: (run) => void start(0, 0, run),
    pass: async (ms) => {
      const endMs = nowMs + ms;
      await settle();
      for (;;) {
        const [next] = [...timers].sort((a, b) => a.atMs - b.atMs);
        if (next === undefined || next.atMs > endMs) break;
        nowMs = next.atMs;
        if (next.everyMs > 0) next.atMs += next.everyMs;
        else timers.delete(next);
        next.run();
        await settle();
      }
      nowMs = endMs;
    },
  };
}
