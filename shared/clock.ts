// Time as the edges see it: production reads the process's clock, the simulator its own.

/** A monotonic clock with timers. Each timer gives a function that forgets it. */
export interface Clock {
  /** Milliseconds since some moment in the past; never goes back. */
  nowMs(): number;
  /** Calls `run` once, `delayMs` from now. */
  after(delayMs: number, run: () => void): () => void;
  /** Calls `run` every `intervalMs`; what was missed while the process stood still is one call. */
  every(intervalMs: number, run: () => void): () => void;
  /** Calls `run` after whatever has come in by now. */
  soon(run: () => void): void;
}

/** The clock of this process. */
export const processClock: Clock = {
  nowMs: () => performance.now(),
  after: (delayMs, run) => {
    const timer = setTimeout(run, delayMs);
    return () => clearTimeout(timer);
  },
  every: (intervalMs, run) => {
    const timer = setInterval(run, intervalMs);
    return () => clearInterval(timer);
  },
  soon: (run) => void setImmediate(run),
};

/** Asked for once: it takes longer than the time itself. */
const originMs = performance.timeOrigin;

/**
 * Microseconds since 1970, as finely as the machine counts them; the same in all threads of a
 * process. Never goes back.
 */
export function clockUs(): number {
  return 1000 * (originMs + performance.now());
}

/** Resolves when `work` is done, or after `ms`; rejects when the work does before that. */
export async function atMost(ms: number, work: Promise<unknown>): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<void>((resolve) => (timer = setTimeout(resolve, ms)));
  await Promise.race([work, late]);
  clearTimeout(timer);
}
