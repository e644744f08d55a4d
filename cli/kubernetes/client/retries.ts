// Which failures of a request to the API server pass, so that it may be sent again, and after what
// wait.

import { ClusterError } from '../../../shared/kubernetes/refusal.js';

/** How often a request is sent at most, and the waits between. */
export interface RetryLimits {
  readonly attempts: number;
  readonly firstMs: number;
  readonly longestMs: number;
}

export const retryLimits: RetryLimits = { attempts: 8, firstMs: 250, longestMs: 10_000 };

/** The longest wait that a server may ask for. */
const longestAskedS = 60;

const passing = [429, 502, 503, 504];
/** A server that is starting, stopping, or out of reach for a moment. */
const passingReasons = ['InternalError', 'ServerTimeout', 'Timeout', 'TooManyRequests'];

/** Milliseconds until another attempt after the n-th has failed; undefined: it makes no sense. */
export function retryDelayMs(
  error: unknown,
  attempt: number,
  limits: RetryLimits = retryLimits,
): number | undefined {
  if (attempt >= limits.attempts) return undefined;
  const backoff = Math.min(limits.longestMs, limits.firstMs * 2 ** (attempt - 1));
  if (!(error instanceof ClusterError)) return isLost(error) ? backoff : undefined;
  const { status, reason, retryAfterS } = error;
  if (!passing.includes(status) && !(status >= 500 && passingReasons.includes(reason)))
    return undefined;
  return Math.max(backoff, 1000 * Math.min(longestAskedS, retryAfterS ?? 0));
}

const lostCodes = [
  ...['ECONNREFUSED', 'ECONNRESET', 'EPIPE', 'ETIMEDOUT', 'EHOSTUNREACH', 'ENETUNREACH'],
  ...['EAI_AGAIN', 'ERR_STREAM_PREMATURE_CLOSE'],
];

/** Whether no whole answer came: the request may have been served all the same. */
export function isLost(error: unknown): boolean {
  if (!(error instanceof Error) || error instanceof ClusterError) return false;
  const code = 'code' in error ? String(error.code) : '';
  return (
    lostCodes.includes(code) ||
    /socket hang up|aborted|Premature close|was silent for|no answer within/.test(error.message)
  );
}
