// An object store in a bucket, or below a prefix of one, on any server that speaks S3.
// It maps keys and answers; sending and retrying is s3-requests.ts, writing is s3-upload.ts.

import {
  DeleteObjectCommand,
  GetObjectCommand,
  HeadObjectCommand,
  ListObjectsV2Command,
  type S3Client,
} from '@aws-sdk/client-s3';
import type { Readable } from 'node:stream';
import { maskSecrets } from '../problems.js';
import {
  requireKey,
  requireRange,
  ObjectNotFound,
  type ByteRange,
  type ObjectInfo,
  type ObjectStore,
  type PutOptions,
} from './store.js';
import { defaultRetryPolicy, httpStatusOf, retryOptions, type PatienceOptions } from './retry.js';
import {
  createS3Client,
  defaultIdleTimeoutMs,
  type S3Options,
  readBody,
  request,
  type Attempt,
  type S3Session,
} from './s3-requests.js';
import { partBytes, upload } from './s3-upload.js';
import type { StoreLocation } from './open-store.js';

/** How the store is reached, how long it is waited for, and who is told. */
export interface S3StoreOptions extends PatienceOptions {
  readonly s3?: S3Options | undefined;
}

type S3Location = Extract<StoreLocation, { kind: 's3' }>;

/** Opens a place in a bucket as a store; nothing is sent yet. */
export function createS3Store(location: S3Location, options: S3StoreOptions = {}): ObjectStore {
  const s3 = options.s3 ?? {};
  const session: S3Session = {
    client: createS3Client(s3),
    place: {
      url: location.url,
      bucket: location.bucket,
      endpoint: s3.endpoint === undefined ? undefined : maskSecrets(s3.endpoint),
      secrets: [s3.secretAccessKey, s3.sessionToken, s3.accessKeyId],
    },
    retry: retryOptions(location.url, options, defaultRetryPolicy),
    idleTimeoutMs: s3.idleTimeoutMs ?? defaultIdleTimeoutMs,
  };
  return new S3Store(session, location.prefix);
}

class S3Store implements ObjectStore {
  readonly url: string;
  readonly #session: S3Session;
  readonly #client: S3Client;
  readonly #prefix: string;
  readonly #bucket: string;

  constructor(session: S3Session, prefix: string) {
    this.#session = session;
    this.#client = session.client;
    this.#prefix = prefix;
    this.#bucket = session.place.bucket;
    this.url = session.place.url;
  }

  async get(key: string, range?: ByteRange): Promise<Buffer> {
    const target = this.#target(key);
    requireRange(range);
    if (range !== undefined && range.end <= range.start) return this.#emptyRange(key);
    const header = range && { Range: `bytes=${range.start}-${range.end - 1}` };
    return request(this.#session, `get ${key}`, async (attempt) => {
      try {
        return await this.#fetch({ ...target, ...header }, range, attempt);
      } catch (error) {
        // "Not satisfiable": the object ends before the range starts.
        if (range !== undefined && httpStatusOf(error) === 416) return Buffer.alloc(0);
        if (isAbsence(error)) throw new ObjectNotFound(this.url, key);
        throw error;
      }
    });
  }

  async #fetch(
    input: { Bucket: string; Key: string; Range?: string },
    range: ByteRange | undefined,
    attempt: Attempt,
  ): Promise<Buffer> {
    const command = new GetObjectCommand(input);
    const answer = await this.#client.send(command, { abortSignal: attempt.signal });
    attempt.progress();
    const bytes = await readBody(answer.Body as Readable, answer.ContentLength, attempt);
    // A server that knows no ranges answers with everything.
    const isWhole = range !== undefined && answer.ContentRange === undefined;
    return isWhole ? bytes.subarray(range.start, range.end) : bytes;
  }

  async #emptyRange(key: string): Promise<Buffer> {
    if ((await this.head(key)) === undefined) throw new ObjectNotFound(this.url, key);
    return Buffer.alloc(0);
  }

  async head(key: string): Promise<ObjectInfo | undefined> {
    const command = new HeadObjectCommand(this.#target(key));
    return request(this.#session, `look at ${key}`, async ({ signal }) => {
      try {
        const answer = await this.#client.send(command, { abortSignal: signal });
        return { key, bytes: answer.ContentLength ?? 0 };
      } catch (error) {
        if (isAbsence(error)) return undefined;
        throw error;
      }
    });
  }

  async put(key: string, body: Uint8Array, options: PutOptions = {}): Promise<void> {
    const isThere = (): Promise<boolean> => this.#holds(key, body);
    const s3Key = this.#target(key).Key;
    return upload(this.#session, { key, s3Key, body, options, isThere });
  }

  async #holds(key: string, body: Uint8Array): Promise<boolean> {
    if ((await this.head(key))?.bytes !== body.byteLength) return false;
    for (let start = 0; start < body.byteLength; start += partBytes) {
      const end = Math.min(start + partBytes, body.byteLength);
      if (!(await this.get(key, { start, end })).equals(body.subarray(start, end))) return false;
    }
    return true;
  }

  async *list(prefix: string): AsyncIterable<ObjectInfo> {
    let token: string | undefined;
    do {
      const command = new ListObjectsV2Command({
        Bucket: this.#bucket,
        Prefix: this.#prefix + prefix,
        ...(token === undefined ? {} : { ContinuationToken: token }),
      });
      const page = await request(this.#session, `list ${prefix || 'everything'}`, ({ signal }) =>
        this.#client.send(command, { abortSignal: signal }),
      );
      for (const { Key, Size } of page.Contents ?? [])
        // Consoles leave objects "folder/" of no bytes; they are no keys.
        if (Key !== undefined && !Key.endsWith('/'))
          yield { key: Key.slice(this.#prefix.length), bytes: Size ?? 0 };
      token = page.IsTruncated === true ? page.NextContinuationToken : undefined;
    } while (token !== undefined);
  }

  async delete(key: string): Promise<void> {
    const command = new DeleteObjectCommand(this.#target(key));
    await request(this.#session, `delete ${key}`, async ({ signal }) => {
      try {
        await this.#client.send(command, { abortSignal: signal });
      } catch (error) {
        if (!isAbsence(error)) throw error;
      }
    });
  }

  async close(): Promise<void> {
    this.#client.destroy();
  }

  #target(key: string): { Bucket: string; Key: string } {
    requireKey(key);
    return { Bucket: this.#bucket, Key: this.#prefix + key };
  }
}

// The answer to HEAD has no body, so a missing bucket looks like a missing object there.
function isAbsence(error: unknown): boolean {
  const { name } = error as Error;
  return name === 'NoSuchKey' || name === 'NotFound';
}
