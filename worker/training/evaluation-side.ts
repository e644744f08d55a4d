// Rank 0's second task: hands snapshots of the generator to the evaluation thread, and its
// answers to the coordinator. Training never waits for it but at the very end.

import type { TrainingState } from '../../shared/checkpoint/state.js';
import type { RunSpec } from '../../shared/spec/schema.js';
import { cloneableOptions } from '../../shared/store/open-store.js';
import { createEvaluator } from '../evaluation/evaluator.js';
import type { EvaluationOutcome } from '../evaluation/evaluator.js';
import type { PrepareOptions } from './prepare-request.js';

export interface EvaluationSide {
  /** Judges the generator as it is now; `isLast` is never skipped. */
  evaluate(isLast: boolean): void;
  /** Resolves when all that was asked for is answered. */
  drain(): Promise<void>;
  close(): Promise<void>;
}

export interface EvaluationSideOptions {
  readonly spec: RunSpec;
  readonly state: TrainingState;
  readonly runUrl: string;
  readonly options: PrepareOptions;
  readonly generator: string;
  /** Compute threads. */
  readonly threads: number;
}

/** Creates the evaluation side, whose thread reads the held-out faces at once. */
export function createEvaluationSide({
  spec,
  state,
  runUrl,
  options,
  generator,
  threads,
}: EvaluationSideOptions): EvaluationSide {
  const evaluator = createEvaluator({
    spec,
    runUrl,
    storeOptions: cloneableOptions(options.storeOptions),
    threads,
  });
  const asked = new Set<Promise<void>>();
  const tell = (outcome: EvaluationOutcome): void => {
    if (outcome.kind === 'evaluated') {
      const { kind: _, ...evaluation } = outcome;
      options.send({ kind: 'tell', message: { kind: 'evaluation', ...evaluation } });
    } else if (outcome.kind === 'failed')
      options.warn(`the evaluation of step ${outcome.step} failed: ${outcome.reason}`);
  };
  return {
    evaluate: (isLast) => {
      const { parameters, statistics } = state.networks[generator];
      const answer = evaluator
        .evaluate({ step: state.step, parameters, statistics, isLast })
        .then(tell)
        .finally(() => asked.delete(answer));
      asked.add(answer);
    },
    drain: async () => {
      await Promise.all(asked);
    },
    close: () => evaluator.close(),
  };
}
