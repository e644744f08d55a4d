// An object store in a bucket, or below a prefix of one, on any server that speaks S3: what is sent
// for each operation, and what an answer means for an object. Sending is s3-requests.ts.

import {
  DeleteObjectCommand,
  GetObjectCommand,
  HeadObjectCommand,
  type HeadObjectCommandOutput,
  ListObjectsV2Command,
} from '@aws-sdk/client-s3';
import type { Readable } from 'node:stream';
import { maskSecrets } from '../problems.js';
import type { StoreOptions } from './open-store.js';
import type { StoreLocation } from './places.js';
import { defaultRetryPolicy, httpStatusOf, isTransient, retryOptions } from './retry.js';
import { isExpiry } from './s3-failures.js';
import {
  createS3Client,
  defaultIdleTimeoutMs,
  endpointFor,
  readBody,
  request,
  type Attempt,
  type S3Session,
} from './s3-requests.js';
import { partBytes, upload, type S3Target } from './s3-upload.js';
import {
  ObjectNotFound,
  StoreUnavailable,
  requireKey,
  requireRange,
  type ByteRange,
  type ObjectInfo,
  type ObjectStore,
} from './store.js';

type S3Location = Extract<StoreLocation, { kind: 's3' }>;

/** Opens a place in a bucket as a store; nothing is sent yet. */
export function createS3Store(location: S3Location, options: StoreOptions = {}): ObjectStore {
  const { url, bucket, prefix } = location;
  const s3 = options.s3 ?? {};
  const reached = s3.endpoint && { endpoint: endpointFor(s3.endpoint, bucket) };
  let client = createS3Client({ ...s3, ...reached });
  const session: S3Session = {
    get client() {
      return client;
    },
    renew() {
      // Requests that are on their way end with the old one.
      client = createS3Client({ ...s3, ...reached }, true);
    },
    place: {
      url,
      bucket,
      endpoint: s3.endpoint === undefined ? undefined : maskSecrets(s3.endpoint),
      secrets: [s3.secretAccessKey, s3.sessionToken, s3.accessKeyId],
    },
    retry: {
      ...retryOptions(url, options, defaultRetryPolicy),
      isTransient: (error) => isTransient(error) || isExpiry(error),
    },
    idleTimeoutMs: s3.idleTimeoutMs ?? defaultIdleTimeoutMs,
  };
  const targetOf = (key: string): S3Target => {
    requireKey(key);
    return { Bucket: bucket, Key: prefix + key };
  };
  let isBucketThere = false;
  const store: ObjectStore = {
    url,
    async get(key, range) {
      const target = targetOf(key);
      requireRange(range);
      if (range === undefined || range.end > range.start)
        return request(session, `get ${key}`, (attempt) =>
          fetchObject(session, key, target, range, attempt),
        );
      if ((await store.head(key)) === undefined) throw new ObjectNotFound(url, key);
      return Buffer.alloc(0);
    },
    async head(key) {
      const target = targetOf(key);
      return request(session, `look at ${key}`, async ({ signal }) => {
        const answer = await lookAt(session, target, isBucketThere, signal);
        isBucketThere = true;
        return answer && { key, bytes: lengthOf(answer.ContentLength) };
      });
    },
    async put(key, body, options = {}) {
      const isThere = (): Promise<boolean> => holds(store, key, body);
      await upload(session, { key, target: targetOf(key), body, options, isThere });
    },
    list: (given) => listObjects(session, prefix, given),
    async delete(key) {
      const command = new DeleteObjectCommand(targetOf(key));
      await request(session, `delete ${key}`, ({ signal }) =>
        absentAsUndefined(session.client.send(command, { abortSignal: signal })),
      );
    },
    close: async () => client.destroy(),
  };
  return store;
}

/** Of an object whose length its server does not say. */
const mostUnsaidBytes = 2 ** 31 - 2;

/** Pages of a listing, of a thousand keys each: more than fit the largest bucket of anybody's. */
const mostPages = 1_000_000;

async function fetchObject(
  { client, place }: S3Session,
  key: string,
  target: S3Target,
  range: ByteRange | undefined,
  attempt: Attempt,
): Promise<Buffer> {
  const header = range && { Range: `bytes=${range.start}-${range.end - 1}` };
  try {
    const command = new GetObjectCommand({ ...target, ...header });
    const answer = await client.send(command, { abortSignal: attempt.signal });
    attempt.progress();
    // A server that knows no ranges answers with everything.
    const isWhole = range !== undefined && answer.ContentRange === undefined;
    const { start, end } = range ?? { start: 0, end: answer.ContentLength ?? mostUnsaidBytes };
    const most = isWhole ? end : end - start;
    const bytes = await readBody(answer.Body as Readable, answer.ContentLength, most, attempt);
    return isWhole ? bytes.subarray(start, end) : bytes;
  } catch (error) {
    // "Not satisfiable": the object ends before the range starts.
    if (range !== undefined && httpStatusOf(error) === 416) return Buffer.alloc(0);
    if (isAbsence(error)) throw new ObjectNotFound(place.url, key);
    throw error;
  }
}

/**
 * The answer to HEAD, undefined where there is no object. A refusal of HEAD has no body that could
 * say why, and a missing bucket looks like a missing object: GET is asked for the reason.
 */
async function lookAt(
  { client }: S3Session,
  target: S3Target,
  isBucketThere: boolean,
  abortSignal: AbortSignal,
): Promise<HeadObjectCommandOutput | undefined> {
  try {
    return await client.send(new HeadObjectCommand(target), { abortSignal });
  } catch (error) {
    const status = httpStatusOf(error) ?? 500;
    if (status < 300 || status >= 500 || (status === 404 && isBucketThere)) {
      if (isAbsence(error)) return undefined;
      throw error;
    }
    const get = new GetObjectCommand({ ...target, Range: 'bytes=0-0' });
    const answer = await absentAsUndefined(client.send(get, { abortSignal }));
    (answer?.Body as Readable | undefined)?.destroy();
    if (answer === undefined || isAbsence(error)) return undefined;
    throw error;
  }
}

function isAbsence(error: unknown): boolean {
  const { name } = error as Error;
  return name === 'NoSuchKey' || name === 'NotFound';
}

async function absentAsUndefined<T>(answer: Promise<T>): Promise<T | undefined> {
  try {
    return await answer;
  } catch (error) {
    if (isAbsence(error)) return undefined;
    throw error;
  }
}

/** Whether the object is there with exactly these bytes. */
async function holds(store: ObjectStore, key: string, body: Uint8Array): Promise<boolean> {
  if ((await store.head(key))?.bytes !== body.byteLength) return false;
  for (let start = 0; start < body.byteLength; start += partBytes) {
    const end = Math.min(start + partBytes, body.byteLength);
    if (!(await store.get(key, { start, end })).equals(body.subarray(start, end))) return false;
  }
  return true;
}

async function* listObjects(
  session: S3Session,
  prefix: string,
  given: string,
): AsyncIterable<ObjectInfo> {
  let token: string | undefined;
  for (let pages = 1; ; pages++) {
    const command = new ListObjectsV2Command({
      Bucket: session.place.bucket,
      Prefix: prefix + given,
      ...(token === undefined ? {} : { ContinuationToken: token }),
    });
    const page = await request(session, `list ${given || 'everything'}`, ({ signal }) =>
      session.client.send(command, { abortSignal: signal }),
    );
    for (const { Key, Size } of page.Contents ?? [])
      // Consoles leave objects "folder/" of no bytes; they are no keys.
      if (Key?.startsWith(prefix + given) === true && !Key.endsWith('/'))
        yield { key: Key.slice(prefix.length), bytes: lengthOf(Size) };
    const next = page.IsTruncated === true ? page.NextContinuationToken : undefined;
    if (next === undefined) return;
    if (next === token || pages === mostPages)
      throw new StoreUnavailable(
        session.place.url,
        `can't list ${given || 'everything'} in ${session.place.url}: the server's list has no end`,
      );
    token = next;
  }
}

/** A length as a server says it; 0 for what is none. */
function lengthOf(given: number | undefined): number {
  return Number.isSafeInteger(given) && given! >= 0 ? given! : 0;
}
