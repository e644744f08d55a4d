// How fast a run goes, and when it will be there. Times come from the caller's clock.

/** Weight of the newest step in the moving average that the ETA is taken from. */
const newestWeight = 0.05;

export interface Pace {
  /** The world is formed: the clock starts. */
  begin(): void;
  stepped(step: number): void;
  /** Images a second from the first step of this session to the newest; 0 before two steps. */
  imagesPerSecond(): number;
  /** Seconds until `step` at the recent pace; 0 when unknown. */
  etaSeconds(step: number): number;
}

/** Creates the pace of a session that starts at `startStep`; `now` is in milliseconds. */
export function createPace(startStep: number, imagesPerStep: number, now: () => number): Pace {
  let first: { step: number; ms: number } | undefined;
  let newest = { step: startStep, ms: now() };
  let averageMs: number | undefined;
  return {
    begin: () => {
      newest = { step: startStep, ms: now() };
    },
    stepped: (step) => {
      const ms = now();
      // The first step pays for compiling and filling caches: it starts the clock.
      if (first === undefined) first = { step, ms };
      else if (step > newest.step) {
        const stepMs = (ms - newest.ms) / (step - newest.step);
        averageMs = averageMs === undefined ? stepMs : averageMs + newestWeight * (stepMs - averageMs);
      }
      newest = { step, ms };
    },
    imagesPerSecond: () => {
      if (first === undefined || newest.ms <= first.ms) return 0;
      const images = (newest.step - first.step) * imagesPerStep;
      return round((images * 1000) / (newest.ms - first.ms));
    },
    etaSeconds: (step) => round(((step - newest.step) * (averageMs ?? 0)) / 1000),
  };
}

function round(value: number): number {
  return Math.round(value * 100) / 100;
}
