// How long a store is waited for and who is told meanwhile: the options that every kind of store
// takes. Commands soon give up; a running worker or coordinator is patient.

import {
  patientRetryPolicy,
  systemClock,
  type RetryClock,
  type RetryNotice,
  type RetryOptions,
  type RetryPolicy,
} from './retry.js';

/** Told when a store answers that had failed before. */
export type AnswerListener = (store: string) => void;

export interface PatienceOptions {
  /** Before each wait. */
  readonly onRetry?: ((notice: RetryNotice) => void) | undefined;
  readonly onAnswer?: AnswerListener | undefined;
  readonly retryPolicy?: RetryPolicy | undefined;
  readonly clock?: RetryClock | undefined;
}

/** Short, so that what was asked in a minute of silence is soon asked again after it. */
export const patientIdleTimeoutMs = 10_000;

/** The part of a store's options that a patient store sets; plain data. */
interface Patience {
  readonly s3: { readonly idleTimeoutMs: number };
  readonly retryPolicy: RetryPolicy;
}

/**
 * The options of a store that is waited for as long as a run can wait. All that is added is plain
 * data, which can be handed to threads.
 */
export function withPatience<
  Options extends {
    readonly s3?: object | undefined;
    readonly retryPolicy?: RetryPolicy | undefined;
  },
>(options: Options): Options & Patience {
  return {
    ...options,
    s3: { idleTimeoutMs: patientIdleTimeoutMs, ...options.s3 },
    retryPolicy: options.retryPolicy ?? patientRetryPolicy,
  };
}

/** The retry loop's options for the store at `store`. */
export function retryOptions(
  store: string,
  options: PatienceOptions,
  defaultPolicy: RetryPolicy,
): RetryOptions {
  let isAway = false;
  return {
    store,
    policy: options.retryPolicy ?? defaultPolicy,
    clock: options.clock ?? systemClock,
    onRetry: (notice) => {
      isAway = true;
      options.onRetry?.(notice);
    },
    onAnswer: () => {
      if (!isAway) return;
      isAway = false;
      options.onAnswer?.(store);
    },
  };
}
