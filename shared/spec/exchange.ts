// How a run's gradients travel, as its spec says it. A record without the key is one from before
// there were factors: such a run goes on as it began.

import type { ExchangePrecision } from '../plan/step-vector.js';
import type { RunSpec } from './schema.js';

/** Whether gradients may be exchanged as factors, and in which precision they are. */
export interface ExchangeChoice {
  readonly factored: 'auto' | 'never';
  readonly precision: ExchangePrecision;
}

/** What a recorded spec chooses. */
export function exchangeOf({ exchange }: RunSpec): ExchangeChoice {
  const { factored = 'never', precision = 'float32' } = exchange ?? {};
  return { factored, precision };
}

/** The spec of a new run, with what is chosen where it says nothing. */
export function pinExchange(spec: RunSpec): RunSpec {
  return { ...spec, exchange: { factored: 'auto', ...spec.exchange } };
}

/**
 * A spec that says in full what it chooses, for comparing. What it leaves out is what `run` has
 * pinned, the spec of the run that it is given for.
 */
export function withChoice(spec: RunSpec, run: RunSpec): RunSpec {
  const { factored } = exchangeOf(run);
  return { ...spec, exchange: exchangeOf({ ...spec, exchange: { factored, ...spec.exchange } }) };
}

/** What of it changes the bytes, as parts of a run's fingerprint. */
export function exchangeParts(spec: RunSpec, isFactored: boolean): string[] {
  const { precision } = exchangeOf(spec);
  return [
    ...(isFactored ? ['factored'] : []),
    ...(precision === 'float32' ? [] : [`${precision}-sums`]),
  ];
}
