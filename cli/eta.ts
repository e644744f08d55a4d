// How long something will still take, judged by its recent pace: phases of a run differ in speed,
// so the beginning says little about the end. Pure: the clock is an argument.

/** Observations that are kept, and how far back they reach. */
const most = 64;
const windowMs = 60_000;

interface Observation {
  readonly done: number;
  readonly atMs: number;
}

/** Estimates from what was seen in the last minute. */
export interface Eta {
  /** Records that `done` of the total were done at `nowMs`. */
  observe(done: number, nowMs: number): void;
  /** Seconds until all is done; undefined while the pace is unknown. */
  secondsLeft(): number | undefined;
}

/** Creates an estimate for `total` items. */
export function createEta(total: number): Eta {
  let seen: Observation[] = [];
  return {
    observe(done, nowMs) {
      const recent = seen.filter((observation) => nowMs - observation.atMs <= windowMs);
      seen = thin([...recent, { done, atMs: nowMs }]);
    },
    secondsLeft() {
      const [first, last] = [seen.at(0), seen.at(-1)];
      if (first === undefined || last === undefined || last.done <= first.done) return undefined;
      const secondsEach = (last.atMs - first.atMs) / 1000 / (last.done - first.done);
      return Math.max(0, (total - last.done) * secondsEach);
    },
  };
}

/** When there are too many, every other one goes; the first and the last stay. */
function thin(observations: Observation[]): Observation[] {
  if (observations.length <= most) return observations;
  return observations.filter((_, i) => i % 2 === 0 || i === observations.length - 1);
}

/** "8 s", "3 min 20 s", "2 h 5 min": at most two units. */
export function formatDuration(seconds: number): string {
  const whole = Math.round(seconds);
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return twoUnits(Math.floor(whole / 60), 'min', whole % 60, 's');
  const minutes = Math.round(whole / 60);
  if (minutes < 24 * 60) return twoUnits(Math.floor(minutes / 60), 'h', minutes % 60, 'min');
  const hours = Math.round(minutes / 60);
  return twoUnits(Math.floor(hours / 24), 'd', hours % 24, 'h');
}

function twoUnits(large: number, unit: string, small: number, smallUnit: string): string {
  return small === 0 ? `${large} ${unit}` : `${large} ${unit} ${small} ${smallUnit}`;
}
