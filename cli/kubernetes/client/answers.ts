// What an answer of the API server means: an object, a refusal, or something that passes, after
// which the same request may be sent again. Pure.

/** A refusal in the API server's own words. */
export class ClusterError extends Error {
  override readonly name = 'ClusterError';

  constructor(
    /** HTTP status; 0: no answer came. */
    readonly status: number,
    /** "AlreadyExists", "Conflict", "Invalid", "Expired"; empty where none is told. */
    readonly reason: string,
    message: string,
    readonly causes: readonly Cause[] = [],
    /** Seconds that the server asks to wait. */
    readonly retryAfterS?: number,
  ) {
    super(message);
  }
}

/** One of the things that are wrong. */
export interface Cause {
  readonly reason: string;
  readonly message: string;
  readonly field: string;
}

type Headers = Readonly<Record<string, string | string[] | undefined>>;

/** The refusal in the body of an answer, which may also be a proxy's page. */
export function refusalOf(status: number, headers: Headers, text: string): ClusterError {
  const told = parseStatus(text);
  const details = recordOf(told['details']);
  const retryAfterS = secondsOf(headers['retry-after']) ?? secondsOf(details['retryAfterSeconds']);
  const message = wordOf(told['message']) || text.slice(0, 300) || 'no reason was given';
  const causes = Array.isArray(details['causes']) ? details['causes'].map(causeOf) : [];
  return new ClusterError(
    status,
    wordOf(told['reason']),
    `HTTP ${status}: ${message}`,
    causes,
    retryAfterS,
  );
}

function parseStatus(text: string): Readonly<Record<string, unknown>> {
  try {
    return recordOf(JSON.parse(text));
  } catch {
    return {};
  }
}

function causeOf(value: unknown): Cause {
  const { reason, message, field } = recordOf(value);
  return { reason: wordOf(reason), message: wordOf(message), field: wordOf(field) };
}

function recordOf(value: unknown): Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {};
}

function wordOf(value: unknown): string {
  return typeof value === 'string' ? value : '';
}

/** API servers give seconds, no dates. */
function secondsOf(value: unknown): number | undefined {
  const seconds = Number(value);
  return value !== undefined && seconds > 0 ? seconds : undefined;
}

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

/** Milliseconds until another attempt, the n-th having failed; undefined: it makes no sense. */
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

/** Whether no whole answer came: what was asked may have been done all the same. */
export function isLost(error: unknown): boolean {
  if (!(error instanceof Error) || error instanceof ClusterError) return false;
  const code = 'code' in error ? String(error.code) : '';
  return lostCodes.includes(code) || /socket hang up|aborted|was silent for/.test(error.message);
}
