// When a failed request is tried again: the one place that decides it. Exponential backoff with
// full jitter (M. Brooker, "Exponential Backoff And Jitter", 2015), bounded in tries and in time.
// Commands soon give up; a running worker or coordinator is patient.

import { systemFault } from '../local-files.js';

/** How often and how long. The wait before try n+1 is uniform in [0, min(cap, base * 2^n)). */
export interface RetryPolicy {
  /** Tries in all, the first included. */
  readonly attempts: number;
  readonly baseMs: number;
  readonly capMs: number;
  /** No try starts later than this after the first. */
  readonly totalMs: number;
}

/** Eight tries: about 10 seconds of waiting on average, 22 at most. */
export const defaultRetryPolicy: RetryPolicy = {
  attempts: 8,
  baseMs: 200,
  capMs: 10_000,
  totalMs: 120_000,
};

/**
 * For a running worker or coordinator, which must outlive a store that is away: a quarter of an
 * hour, however many tries that takes. Plain data, so that threads can be given it.
 */
export const patientRetryPolicy: RetryPolicy = {
  attempts: Number.MAX_SAFE_INTEGER,
  baseMs: 200,
  capMs: 10_000,
  totalMs: 900_000,
};

/** The outside of a retry loop. */
export interface RetryClock {
  now(): number;
  /** Uniform in [0, 1). */
  random(): number;
  wait(ms: number): Promise<void>;
}

const systemClock: RetryClock = {
  now: () => performance.now(),
  random: () => Math.random(),
  wait: (ms) => new Promise((resolve) => setTimeout(resolve, ms)),
};

/** Why nothing happens at the moment. */
export interface RetryNotice {
  /** Url of the store. */
  readonly store: string;
  readonly what: string;
  /** Tries so far. */
  readonly tries: number;
  readonly waitMs: number;
  /** How long the try took that failed, and the time since the first one began. */
  readonly tryMs: number;
  readonly elapsedMs: number;
  /** Name or code of the failure; never its message, which may quote a request. */
  readonly reason: string;
}

export interface RetryOptions {
  readonly store: string;
  readonly policy: RetryPolicy;
  readonly clock: RetryClock;
  readonly onRetry?: ((notice: RetryNotice) => void) | undefined;
  /** Called whenever a try succeeds. */
  readonly onAnswer?: (() => void) | undefined;
  /** Which failures are tried again; those of a network by default. */
  readonly isTransient?: ((error: unknown) => boolean) | undefined;
}

/** The wait before the next try, or undefined when there is none. */
export function nextWaitMs(
  policy: RetryPolicy,
  tries: number,
  elapsedMs: number,
  random: number,
): number | undefined {
  if (tries >= policy.attempts) return undefined;
  const ceiling = Math.min(policy.capMs, policy.baseMs * 2 ** (tries - 1));
  const wait = Math.floor(random * ceiling);
  return elapsedMs + wait > policy.totalMs ? undefined : wait;
}

const transientStatus = new Set([408, 425, 429]);
const transientNames = new Set([
  'SlowDown',
  'Throttling',
  'ThrottlingException',
  'ThrottledException',
  'TooManyRequestsException',
  'RequestThrottled',
  'RequestLimitExceeded',
  'BandwidthLimitExceeded',
  'RequestTimeout',
  'RequestTimeoutException',
  'TimeoutError',
  // Two conditional writes met at the server: it asks for another try, which then answers 412.
  'ConditionalRequestConflict',
  'OperationAborted',
]);
const transientCodes = new Set([
  'ECONNRESET',
  'ECONNREFUSED',
  'ECONNABORTED',
  'EPIPE',
  'ETIMEDOUT',
  'ENOTFOUND',
  'EAI_AGAIN',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'ENETDOWN',
  'UND_ERR_SOCKET',
  'ERR_STREAM_PREMATURE_CLOSE',
  'HPE_INVALID_CONSTANT',
]);

interface Failure {
  readonly name?: string;
  readonly code?: string;
  readonly $metadata?: { readonly httpStatusCode?: number };
  readonly $response?: { readonly statusCode?: number };
}

function asFailure(error: unknown): Failure {
  return typeof error === 'object' && error !== null ? error : {};
}

/** The HTTP status of a failed request, if an answer came at all. */
export function httpStatusOf(error: unknown): number | undefined {
  const failure = asFailure(error);
  return failure.$metadata?.httpStatusCode ?? failure.$response?.statusCode;
}

/** Whether the same request may succeed later: 5xx, throttling, network, timeouts. 4xx: no. */
export function isTransient(error: unknown): boolean {
  const failure = asFailure(error);
  if (failure.name !== undefined && transientNames.has(failure.name)) return true;
  const status = httpStatusOf(error);
  if (status !== undefined && status >= 300)
    return transientStatus.has(status) || (status >= 500 && status !== 501);
  return failure.code !== undefined && transientCodes.has(failure.code);
}

/** A short name for a failure, safe to print: its code, name or status. */
export function reasonOf(error: unknown): string {
  const fault = systemFault(error, false);
  if (fault !== undefined) return fault.text;
  const failure = asFailure(error);
  const status = httpStatusOf(error);
  const name = failure.code ?? failure.name ?? 'failure';
  return status === undefined ? name : `${name} (HTTP ${status})`;
}

/**
 * Runs `attempt` until it succeeds, fails for good, or the policy ends it; then throws the last
 * failure. `attempt` gets the number of tries that failed before, since an earlier one may have
 * had its effect although its answer was lost.
 */
export async function withRetries<T>(
  what: string,
  attempt: (failedTries: number) => Promise<T>,
  options: RetryOptions,
): Promise<T> {
  const { policy, clock, store } = options;
  const mayPass = options.isTransient ?? isTransient;
  const start = clock.now();
  for (let tries = 1; ; tries++) {
    const tryStart = clock.now();
    try {
      const result = await attempt(tries - 1);
      options.onAnswer?.();
      return result;
    } catch (error) {
      if (!mayPass(error)) throw error;
      const [elapsedMs, tryMs] = [clock.now() - start, clock.now() - tryStart];
      const waitMs = nextWaitMs(policy, tries, elapsedMs, clock.random());
      if (waitMs === undefined) throw error;
      const reason = reasonOf(error);
      options.onRetry?.({ store, what, tries, waitMs, tryMs, elapsedMs, reason });
      await clock.wait(waitMs);
    }
  }
}

/** How long a store is waited for, and who hears of it. */
export interface PatienceOptions {
  /** Before each wait. */
  readonly onRetry?: ((notice: RetryNotice) => void) | undefined;
  /** When a store answers that had failed before. */
  readonly onAnswer?: ((store: string) => void) | undefined;
  readonly retryPolicy?: RetryPolicy | undefined;
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
    clock: systemClock,
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
