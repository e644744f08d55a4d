// The S3 client, and single requests through it, each under one retry loop and one stall watch.
// What an operator reads of a failed one is s3-failures.ts.

import { S3Client, type S3ClientConfig } from '@aws-sdk/client-s3';
import { NodeHttpHandler } from '@smithy/node-http-handler';
import { pipeline, Transform, type Readable } from 'node:stream';
import { OperatorError } from '../problems.js';
import { isExpiry, s3Failure, type S3Place } from './s3-failures.js';
import { StoreUnavailable, ObjectNotFound, PreconditionFailed } from './store.js';
import { withRetries, type RetryOptions } from './retry.js';

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

/** Where nobody names a region; other servers than AWS's mostly take any. */
const defaultRegion = 'us-east-1';

/**
 * The address as the SDK wants it: without slashes at its end, and without the bucket, which people
 * leave in its path or before its name.
 */
export function endpointFor(endpoint: string, bucket: string): string {
  const url = new URL(endpoint);
  url.pathname = url.pathname.replace(/\/+$/, '');
  if (url.pathname.endsWith(`/${bucket}`)) url.pathname = url.pathname.slice(0, -bucket.length);
  if (url.hostname.startsWith(`${bucket}.`)) url.hostname = url.hostname.slice(bucket.length + 1);
  return url.href.replace(/\/+$/, '');
}

/** The region of the SDK's own chain: the environment, else the profile. */
async function regionOfChain(): Promise<string> {
  const client = new S3Client({});
  try {
    return (await client.config.region()) || defaultRegion;
  } catch {
    return defaultRegion;
  } finally {
    client.destroy();
  }
}

/**
 * Creates the client of a store. With `isAnew` files of credentials are read again, which the SDK
 * does once in a process.
 */
export function createS3Client(options: S3Options, isAnew = false): S3Client {
  const idleTimeoutMs = options.idleTimeoutMs ?? defaultIdleTimeoutMs;
  const { endpoint, accessKeyId, secretAccessKey, sessionToken } = options;
  let found: Promise<string> | undefined;
  const config: S3ClientConfig = {
    maxAttempts: 1,
    // Signatures already cover the bytes; the newer checksum headers break other vendors' servers,
    // so none is sent whatever AWS_REQUEST_CHECKSUM_CALCULATION says.
    requestChecksumCalculation: 'WHEN_REQUIRED',
    responseChecksumValidation: 'WHEN_REQUIRED',
    forcePathStyle: options.forcePathStyle ?? endpoint !== undefined,
    requestHandler: new BoundedHandler({
      connectionTimeout: connectTimeoutMs,
      socketTimeout: idleTimeoutMs,
      httpAgent: { keepAlive: true, maxSockets: 32 },
      httpsAgent: { keepAlive: true, maxSockets: 32 },
    }),
    region: options.region ?? (() => (found ??= regionOfChain())),
    ...(isAnew ? { ignoreCache: true } : {}),
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

/** Most bytes of an answer that is no object: a page of a listing, or what is wrong. */
const mostAnswerBytes = 16 * 1024 * 1024;

/** Sends requests; an answer that the SDK reads whole ends with an error beyond its bound. */
class BoundedHandler extends NodeHttpHandler {
  override async handle(
    ...[request, options]: Parameters<NodeHttpHandler['handle']>
  ): ReturnType<NodeHttpHandler['handle']> {
    const { response } = await super.handle(request, options);
    const isObject = request.query['x-id'] === 'GetObject' && response.statusCode < 300;
    if (!isObject) response.body = bounded(response.body as Readable);
    return { response };
  }
}

function bounded(body: Readable): Readable {
  let left = mostAnswerBytes;
  const bound = new Transform({
    transform(chunk: Buffer, _encoding, done) {
      left -= chunk.length;
      if (left < 0) done(new Error(`an answer of over ${mostAnswerBytes} bytes`));
      else done(null, chunk);
    },
  });
  // Whoever reads hears of an error from the stream itself.
  return pipeline(body, bound, () => undefined);
}

/** Everything a request needs. */
export interface S3Session {
  /** Another one after `renew`. */
  readonly client: S3Client;
  /** Gets credentials anew: those that were got have expired. */
  renew(): void;
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
      (failedTries) => watched(session, limitMs, failedTries, attempt),
      session.retry,
    );
  } catch (error) {
    throw finished.some((kind) => error instanceof kind)
      ? error
      : s3Failure(error, what, session.place);
  }
}

async function watched<T>(
  session: S3Session,
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
    if (isExpiry(error)) session.renew();
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

/**
 * Reads a body of `bytes` bytes; one that ends early is a failure that is tried again. Of one with
 * more than `most` bytes as much is read as shows it: one byte more.
 */
export async function readBody(
  body: Readable,
  bytes: number | undefined,
  most: number,
  attempt: Attempt,
): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let received = 0;
  for await (const chunk of body as AsyncIterable<Buffer>) {
    attempt.progress();
    chunks.push(chunk);
    received += chunk.length;
    if (received > most) return Buffer.concat(chunks, most + 1);
  }
  if (bytes !== undefined && received !== bytes)
    throw lost('TruncatedBody', `the body ended after ${received} of ${bytes} bytes`);
  return Buffer.concat(chunks, received);
}
