// What the steps of a spec exchange, for people: bytes of a step's vector, and which gradients are
// in it as factors.

import { placesOf, type ExchangePrecision } from '../../shared/plan/step-vector.js';
import { exchangeOf } from '../../shared/spec/exchange.js';
import { partsOfPhase } from '../../shared/spec/schedule.js';
import type { RunSpec } from '../../shared/spec/schema.js';
import type { Step } from '../../shared/words.js';
import { createSrganTask } from '../../task/srgan/task.js';
import { planStep } from './step-plan.js';

/** What a kind of step exchanges, in bytes. */
export interface StepExchange {
  readonly phase: string;
  /** Of gradients and factors. */
  readonly precision: ExchangePrecision;
  /** The networks that it trains. */
  readonly trains: readonly string[];
  readonly bytes: number;
  /** Of them those of all micro-shards' factors. */
  readonly factor_bytes: number;
  /** If all gradients were summed in the same precision. */
  readonly summed_bytes: number;
  /** The parameters whose gradients are exchanged as factors. */
  readonly factored: readonly string[];
}

/** The exchange of the whole steps of the phase that a run of this spec is in after `step`. */
export function exchangeAfter(spec: RunSpec, step: Step): StepExchange {
  let end = 0;
  const phase = spec.phases.find(({ steps }) => step < (end += steps)) ?? spec.phases.at(-1);
  const found = stepExchanges(spec).findLast((one) => one.phase === phase?.name);
  if (found === undefined) throw new Error('a spec has phases');
  return found;
}

/** The kinds of steps of a run that has recorded this spec, phase by phase. */
export function stepExchanges(spec: RunSpec): StepExchange[] {
  const summed: RunSpec = { ...spec, exchange: { ...spec.exchange, factored: 'never' } };
  const task = createSrganTask(spec);
  const { precision } = exchangeOf(spec);
  return spec.phases.flatMap((phase) =>
    partsOfPhase(phase).map((part): StepExchange => {
      const definition = task.step(phase.name, part);
      const [own, whole] = [spec, summed].map((one) => planStep(task, one, definition));
      const [places, all] = [own, whole].map(({ vector }) =>
        placesOf(vector.shape, precision, spec.batch.microShards),
      );
      return {
        ...{ phase: phase.name, precision, trains: definition.trains },
        bytes: places.resultBytes,
        factor_bytes: places.resultBytes - places.contributionBytes,
        summed_bytes: all.resultBytes,
        factored: own.update.products.map(({ name }) => name.replace(/^gradient\//, '')),
      };
    }),
  );
}
