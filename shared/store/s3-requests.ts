// The S3 client, and single requests through it, each under one retry loop and one stall watch. The
// SDK's own errors quote requests and key ids, so none of them leaves: only masked text does.

import { S3Client, type S3ClientConfig } from '@aws-sdk/client-s3';
import { NodeHttpHandler } from '@smithy/node-http-handler';
import type { Readable } from 'node:stream';
import { OperatorError, maskSecrets, messageOf } from '../problems.js';
import { StoreUnavailable, ObjectNotFound, PreconditionFailed } from './store.js';
import { withRetries, type RetryOptions, reasonOf, httpStatusOf } from './retry.js';

/** Endpoint, region and credentials; what is missing is found by the AWS SDK's default chains. */
export interface S3Options {
  readonly endpoint?: string | undefined;
  readonly region?: string | undefined;
  readonly accessKeyId?: string | undefined;
  readonly secretAccessKey?: string | undefined;
  readonly sessionToken?: string | undefined;
  /** "endpoint/bucket/key" instead of "bucket.endpoint/key"; the default with an endpoint. */
  readonly forcePathStyle?: boolean | undefined;
  /** A request that makes no progress for so long is given up (and tried again). */
  readonly idleTimeoutMs?: number | undefined;
}

/** Time without progress after which a request counts as lost. */
export const defaultIdleTimeoutMs = 30_000;
const connectTimeoutMs = 5_000;

/** Creates the client of a store. */
export function createS3Client(options: S3Options): S3Client {
  const idleTimeoutMs = options.idleTimeoutMs ?? defaultIdleTimeoutMs;
  const { endpoint, accessKeyId, secretAccessKey, sessionToken } = options;
  const region = options.region ?? (endpoint === undefined ? undefined : 'us-east-1');
  const config: S3ClientConfig = {
    maxAttempts: 1,
    // Signatures already cover the bytes; the newer checksum headers break other vendors' servers.
    requestChecksumCalculation: 'WHEN_REQUIRED',
    responseChecksumValidation: 'WHEN_REQUIRED',
    forcePathStyle: options.forcePathStyle ?? endpoint !== undefined,
    requestHandler: new NodeHttpHandler({
      connectionTimeout: connectTimeoutMs,
      socketTimeout: idleTimeoutMs,
      httpAgent: { keepAlive: true, maxSockets: 32 },
      httpsAgent: { keepAlive: true, maxSockets: 32 },
    }),
    ...(region === undefined ? {} : { region }),
    ...(endpoint === undefined ? {} : { endpoint }),
  };
  if (accessKeyId !== undefined && secretAccessKey !== undefined)
    config.credentials = {
      accessKeyId,
      secretAccessKey,
      ...(sessionToken === undefined ? {} : { sessionToken }),
    };
  return new S3Client(config);
}

/** Everything a request needs. */
export interface S3Session {
  readonly client: S3Client;
  readonly place: S3Place;
  readonly retry: RetryOptions;
  readonly idleTimeoutMs: number;
}

/** A stall watch: `signal` aborts the request when `progress` was not called for too long. */
export interface Attempt {
  /** Tries of the same request that failed before this one. */
  readonly failedTries: number;
  readonly signal: AbortSignal;
  progress(): void;
}

// Already what the caller should see; the last two come from a request within a request.
const finished = [ObjectNotFound, PreconditionFailed, OperatorError, StoreUnavailable];

/**
 * Runs one request until it succeeds or fails for good; `what` is words: "get a/b". A try that
 * calls no `progress` for `limitMs` is given up; the session's idle timeout if not given.
 */
export async function request<T>(
  session: S3Session,
  what: string,
  attempt: (attempt: Attempt) => Promise<T>,
  limitMs = session.idleTimeoutMs,
): Promise<T> {
  try {
    return await withRetries(
      what,
      (failedTries) => watched(limitMs, failedTries, attempt),
      session.retry,
    );
  } catch (error) {
    throw finished.some((kind) => error instanceof kind)
      ? error
      : s3Failure(error, what, session.place);
  }
}

async function watched<T>(
  limitMs: number,
  failedTries: number,
  attempt: (attempt: Attempt) => Promise<T>,
): Promise<T> {
  const controller = new AbortController();
  const timer = setTimeout(() => controller.abort(), limitMs);
  try {
    return await attempt({
      failedTries,
      signal: controller.signal,
      progress: () => timer.refresh(),
    });
  } catch (error) {
    if (controller.signal.aborted) throw lost('TimeoutError', `no progress in ${limitMs} ms`);
    throw error;
  } finally {
    clearTimeout(timer);
  }
}

function lost(name: string, message: string): Error {
  const error: Error & { code?: string } = new Error(message);
  error.name = name;
  if (name !== 'TimeoutError') error.code = 'ERR_STREAM_PREMATURE_CLOSE';
  return error;
}

/** Reads a body of `bytes` bytes; one that ends early is a failure that is tried again. */
export async function readBody(
  body: Readable,
  bytes: number | undefined,
  attempt: Attempt,
): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let received = 0;
  for await (const chunk of body as AsyncIterable<Buffer>) {
    attempt.progress();
    chunks.push(chunk);
    received += chunk.length;
  }
  if (bytes !== undefined && received !== bytes)
    throw lost('TruncatedBody', `the body ended after ${received} of ${bytes} bytes`);
  return Buffer.concat(chunks, received);
}

/** What a message may name. */
export interface S3Place {
  /** The store's url, "s3://bucket/prefix". */
  readonly url: string;
  readonly bucket: string;
  /** Undefined: AWS itself. */
  readonly endpoint: string | undefined;
  /** Never to be printed. */
  readonly secrets: readonly (string | undefined)[];
}

interface Advice {
  readonly allowed: string;
  readonly hint: string;
}

const keysHint = 'set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or a profile by AWS_PROFILE';

function operatorAdvice(name: string, place: S3Place): Advice | undefined {
  const where = place.endpoint === undefined ? 'AWS' : place.endpoint;
  switch (name) {
    case 'NoSuchBucket':
      return {
        allowed: `a bucket that exists at ${where}`,
        hint: `create bucket "${place.bucket}", or correct the url or LOCKSTEP_S3_ENDPOINT`,
      };
    case 'CredentialsProviderError':
      return { allowed: `credentials for ${where}; there are none`, hint: keysHint };
    case 'InvalidAccessKeyId':
    case 'XAdminUserNotFound': // versitygw
    case 'SignatureDoesNotMatch':
    case 'InvalidSecurity':
    case 'ExpiredToken':
    case 'TokenRefreshRequired':
      return { allowed: `credentials that ${where} accepts (it said ${name})`, hint: keysHint };
    case 'AccessDenied':
    case 'AllAccessDisabled':
    case 'Forbidden':
    case '403':
      return {
        allowed: `a bucket and prefix that these credentials may use at ${where}`,
        hint: 'ask for the rights to get, put, list and delete objects there',
      };
    case 'PermanentRedirect':
    case 'AuthorizationHeaderMalformed':
    case 'IllegalLocationConstraintException':
      return { allowed: 'the region that the bucket is in', hint: 'set AWS_REGION' };
    default:
      return undefined;
  }
}

function nameOf(error: unknown): string {
  const { name, Code } = error as { name?: string; Code?: string };
  if (error instanceof Error && error.message === 'Region is missing')
    return 'AuthorizationHeaderMalformed';
  if (httpStatusOf(error) === 403 && (name === 'Unknown' || name === 'UnknownError')) return '403';
  return Code ?? name ?? 'Unknown';
}

/** The error to throw for a failed request `what` ("put checkpoints/x"). */
export function s3Failure(error: unknown, what: string, place: S3Place): Error {
  const name = nameOf(error);
  const advice = operatorAdvice(name, place);
  if (advice !== undefined)
    return new OperatorError(mask(`can't ${what} in ${place.url}`, place), [
      { key: 'url', given: place.url, allowed: mask(advice.allowed, place), hint: advice.hint },
    ]);
  const where = place.endpoint === undefined ? '' : ` at ${place.endpoint}`;
  return new StoreUnavailable(
    place.url,
    mask(
      `can't ${what} in ${place.url}${where}: ` +
        `${reasonOf(error)}: ${messageOf(error).slice(0, 300)}${next(error)}`,
      place,
    ),
  );
}

function mask(text: string, place: S3Place): string {
  const known = place.secrets.filter((secret) => secret !== undefined && secret.length > 2);
  return known.reduce<string>(
    (masked, secret) => masked.replaceAll(secret!, '***'),
    maskSecrets(text),
  );
}

function next(error: unknown): string {
  const code = (error as { code?: string }).code;
  if (code === 'ECONNREFUSED')
    return '; nothing listens there: start the server or correct LOCKSTEP_S3_ENDPOINT';
  if (code === 'ENOTFOUND' || code === 'EAI_AGAIN')
    return '; the name does not resolve: correct LOCKSTEP_S3_ENDPOINT';
  return '';
}
