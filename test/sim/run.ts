// Many seeds, one after the other: how fast, what they exercised, and the first one that failed.

import { Coverage } from './coverage.js';
import { runSeed, type SimOptions, type SimResult } from './cluster.js';

export interface Campaign {
  readonly seeds: number;
  readonly events: number;
  readonly simulatedMs: number;
  readonly seconds: number;
  readonly coverage: Coverage;
  readonly failures: readonly SimResult[];
}

/** Runs seeds from `from` on, until `isEnough` or `maxFailures` have failed. */
export function runSeeds(
  from: number,
  isEnough: (seeds: number, seconds: number) => boolean,
  options: SimOptions = {},
  maxFailures = 1,
): Campaign {
  const startedMs = performance.now();
  const coverage = new Coverage();
  const failures: SimResult[] = [];
  let [seeds, events, simulatedMs] = [0, 0, 0];
  const seconds = (): number => (performance.now() - startedMs) / 1000;
  while (failures.length < maxFailures && !isEnough(seeds, seconds())) {
    const result = runSeed(from + seeds, options);
    seeds += 1;
    events += result.events;
    simulatedMs += result.simulatedMs;
    coverage.addAll(result.coverage);
    if (result.failure !== undefined) failures.push(result);
  }
  return { seeds, events, simulatedMs, seconds: seconds(), coverage, failures };
}

/** A failed seed, for whoever has to find out why. */
export function describeFailure({ seed, failure, tail }: SimResult): string {
  const again = `npm run sim -- --seed ${seed} --verbose`;
  return [`seed ${seed} failed: ${failure?.message}`, ...tail, `again: ${again}`].join('\n');
}
