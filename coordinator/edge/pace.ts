// How fast a run goes, and when it will be there. Times come from the caller's clock. The first
// step of a phase is not counted: it pays for compiling and filling caches.

/** Weight of the newest step in the moving average that the ETA is taken from. */
const newestWeight = 0.05;

/** Steps that follow each other in less than this share of their own time come in a burst. */
const leastShare = 0.2;

export interface Pace {
  /** A step was told that took `seconds`. */
  stepped(step: number, phase: string, seconds: number): void;
  /** Images a second over this session's steps, the first of each phase left out; 0 before. */
  imagesPerSecond(): number;
  /** Seconds until `step` at the recent pace; 0 when unknown. */
  etaSeconds(step: number): number;
}

/** Creates the pace of a session; `now` is in milliseconds. */
export function createPace(imagesPerStep: number, now: () => number): Pace {
  let newest: { step: number; phase: string; ms: number } | undefined;
  let averageMs: number | undefined;
  const counted = { steps: 0, ms: 0 };
  return {
    stepped: (step, phase, seconds) => {
      const ms = now();
      // Steps that come in a burst were taken earlier, and are told again or late.
      const isBurst = newest !== undefined && ms - newest.ms < leastShare * 1000 * seconds;
      if (newest?.phase === phase && step > newest.step && !isBurst) {
        counted.steps += step - newest.step;
        counted.ms += ms - newest.ms;
        const stepMs = (ms - newest.ms) / (step - newest.step);
        averageMs =
          averageMs === undefined ? stepMs : averageMs + newestWeight * (stepMs - averageMs);
      }
      newest = { step, phase, ms };
    },
    imagesPerSecond: () =>
      counted.ms === 0 ? 0 : round((counted.steps * imagesPerStep * 1000) / counted.ms),
    etaSeconds: (step) => round(((step - (newest?.step ?? step)) * (averageMs ?? 0)) / 1000),
  };
}

function round(value: number): number {
  return Math.round(value * 100) / 100;
}
