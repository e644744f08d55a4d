// Single S3 requests, each under one retry loop and one stall watch, with errors the operator can
// read. It knows how to send; what to send and what an answer means for an object is s3-store.ts.

import type { S3Client } from '@aws-sdk/client-s3';
import type { Readable } from 'node:stream';
import { OperatorError } from '../problems.js';
import { s3Failure, StoreUnavailable, type S3Place } from './s3-errors.js';
import { withRetries, type RetryOptions } from './retry.js';
import { ObjectNotFound, PreconditionFailed } from './store.js';

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
