// A refusal of the API server as an error: HTTP status, reason, causes, and how long to wait.

import { parseJson } from '../bounded-json.js';

/** A refusal in the API server's own words. */
export class ClusterError extends Error {
  override readonly name = 'ClusterError';

  constructor(
    readonly status: number,
    /** "AlreadyExists", "Conflict", "Invalid", "Expired"; empty where none is given. */
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
interface Cause {
  readonly reason: string;
  readonly message: string;
  readonly field: string;
}

type Headers = Readonly<Record<string, string | string[] | undefined>>;

/** Reads the body of a refusal: a Status object, or the page of a proxy. */
export function refusalOf(status: number, headers: Headers, text: string): ClusterError {
  const body = parseObject(text);
  const details = objectOf(body['details']);
  const message = textOf(body['message']) || text.slice(0, 300) || 'no reason was given';
  return new ClusterError(
    status,
    textOf(body['reason']),
    `HTTP ${status}: ${message}`,
    Array.isArray(details['causes']) ? details['causes'].map(causeOf) : [],
    secondsOf(headers['retry-after']) ?? secondsOf(details['retryAfterSeconds']),
  );
}

function parseObject(text: string): Readonly<Record<string, unknown>> {
  try {
    return objectOf(parseJson(text));
  } catch {
    return {};
  }
}

function causeOf(value: unknown): Cause {
  const { reason, message, field } = objectOf(value);
  return { reason: textOf(reason), message: textOf(message), field: textOf(field) };
}

function objectOf(value: unknown): Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {};
}

function textOf(value: unknown): string {
  return typeof value === 'string' ? value : '';
}

/** API servers give seconds, no dates. */
function secondsOf(value: unknown): number | undefined {
  const seconds = Number(value);
  return value !== undefined && seconds > 0 ? seconds : undefined;
}
