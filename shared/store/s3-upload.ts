// Writing one object to S3: in one request or, when large, in parts that are joined at the end.
// The condition holds where the object appears: on the put, or on the completion of the parts.

import {
  AbortMultipartUploadCommand,
  CompleteMultipartUploadCommand,
  CreateMultipartUploadCommand,
  PutObjectCommand,
  UploadPartCommand,
  type CompletedPart,
} from '@aws-sdk/client-s3';
import { request, type Attempt, type S3Session } from './s3-requests.js';
import { httpStatusOf } from './retry.js';
import { PreconditionFailed, type PutOptions } from './store.js';

/** Bodies above this size go in parts of this size (more, so that 10,000 parts suffice). */
export const partBytes = 16 * 1024 * 1024;
const maxParts = 10_000;
const partsAtOnce = 4;

/**
 * Slowest upload that is waited for. While bytes leave, the socket's own timeout watches them;
 * this bounds the whole try.
 */
const slowestBytesPerMs = 64;

/** A server joins the parts of a large object before it answers. */
const completeMs = 30_000;

/** An object, as the SDK's commands name it. */
export interface S3Target {
  readonly Bucket: string;
  readonly Key: string;
}

/** One object to write. `isThere` says whether exactly this body is there already. */
export interface Upload {
  readonly key: string;
  readonly target: S3Target;
  readonly body: Uint8Array;
  readonly options: PutOptions;
  isThere(): Promise<boolean>;
}

/** Writes the object; throws `PreconditionFailed`. */
export function upload(session: S3Session, job: Upload): Promise<void> {
  return job.body.byteLength <= partBytes ? putWhole(session, job) : putParts(session, job);
}

function uploadLimitMs({ idleTimeoutMs }: S3Session, body: Uint8Array): number {
  return idleTimeoutMs + body.byteLength / slowestBytesPerMs;
}

function condition({ ifAbsent }: PutOptions): { IfNoneMatch?: string } {
  return ifAbsent === true ? { IfNoneMatch: '*' } : {};
}

function isRefusal(error: unknown, { ifAbsent }: PutOptions): boolean {
  const isFailedCondition =
    httpStatusOf(error) === 412 || (error as Error).name === 'PreconditionFailed';
  return isFailedCondition && ifAbsent === true;
}

/**
 * Sends the request that makes the object appear. When an earlier try's answer was lost, a refusal
 * may mean that this very body was written by it: then that is the success it was.
 */
async function publish(
  session: S3Session,
  job: Upload,
  attempt: Attempt,
  send: () => Promise<unknown>,
  isGone: (error: unknown) => boolean = () => false,
): Promise<void> {
  try {
    await send();
  } catch (error) {
    const isRefused = isRefusal(error, job.options);
    if (!isRefused && !isGone(error)) throw error;
    attempt.progress();
    if (attempt.failedTries > 0 && (await job.isThere())) return;
    if (isRefused) throw new PreconditionFailed(session.place.url, job.key);
    throw error;
  }
}

async function putWhole(session: S3Session, job: Upload): Promise<void> {
  const input = {
    ...job.target,
    Body: job.body,
    ContentLength: job.body.byteLength,
    ContentType: job.options.contentType ?? 'application/octet-stream',
    ...condition(job.options),
  };
  const put = (attempt: Attempt): Promise<void> =>
    publish(session, job, attempt, () =>
      session.client.send(new PutObjectCommand(input), { abortSignal: attempt.signal }),
    );
  return request(session, `put ${job.key}`, put, uploadLimitMs(session, job.body));
}

async function putParts(session: S3Session, job: Upload): Promise<void> {
  const { target } = job;
  const created = await request(session, `start the upload of ${job.key}`, ({ signal }) =>
    session.client.send(
      new CreateMultipartUploadCommand({
        ...target,
        ContentType: job.options.contentType ?? 'application/octet-stream',
      }),
      { abortSignal: signal },
    ),
  );
  const UploadId = created.UploadId ?? '';
  try {
    const Parts = await sendParts(session, job, UploadId);
    const input = { ...target, UploadId, MultipartUpload: { Parts }, ...condition(job.options) };
    const join = (attempt: Attempt): Promise<void> => {
      const command = new CompleteMultipartUploadCommand(input);
      const send = () => session.client.send(command, { abortSignal: attempt.signal });
      return publish(session, job, attempt, send, isUploadGone);
    };
    const limitMs = Math.max(session.idleTimeoutMs, completeMs);
    await request(session, `complete ${job.key}`, join, limitMs);
  } catch (error) {
    const abort = new AbortMultipartUploadCommand({ ...target, UploadId });
    const abortSignal = AbortSignal.timeout(5000);
    await session.client.send(abort, { abortSignal }).catch(() => undefined);
    throw error;
  }
}

const isUploadGone = (error: unknown): boolean => (error as Error).name === 'NoSuchUpload';

async function sendParts(session: S3Session, job: Upload, id: string): Promise<CompletedPart[]> {
  const size = Math.max(partBytes, Math.ceil(job.body.byteLength / maxParts));
  const count = Math.ceil(job.body.byteLength / size);
  const parts: CompletedPart[] = [];
  let nextIndex = 0;
  const lane = async (): Promise<void> => {
    while (nextIndex < count) {
      const index = nextIndex++;
      const body = job.body.subarray(index * size, (index + 1) * size);
      parts[index] = await sendPart(session, job, id, index + 1, body).catch((error: unknown) => {
        nextIndex = count;
        throw error;
      });
    }
  };
  await Promise.all(Array.from({ length: Math.min(partsAtOnce, count) }, lane));
  return parts;
}

async function sendPart(
  session: S3Session,
  job: Upload,
  id: string,
  number: number,
  body: Uint8Array,
): Promise<CompletedPart> {
  const command = {
    ...job.target,
    UploadId: id,
    PartNumber: number,
    Body: body,
    ContentLength: body.byteLength,
  };
  const { ETag } = await request(
    session,
    `put part ${number} of ${job.key}`,
    ({ signal }) => session.client.send(new UploadPartCommand(command), { abortSignal: signal }),
    uploadLimitMs(session, body),
  );
  return { PartNumber: number, ETag };
}
