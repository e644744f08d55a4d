// A bucket for tests on the best S3 server there is: the one LOCKSTEP_TEST_S3_ENDPOINT names, else
// a versitygw of our own, else npm's s3rver, which ignores conditional puts.

import { CreateBucketCommand, S3Client } from '@aws-sdk/client-s3';
import { randomBytes } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { childEnvironment, readEnvironment } from '../../shared/environment.js';
import type { S3Options } from '../../shared/store/s3-requests.js';
import { findServer, s3TestKeys, startVersitygw } from './servers.js';

/** A bucket of the test's own. */
export interface S3Place {
  /** For test names: "s3 at http://127.0.0.1:7070", "s3rver". */
  readonly name: string;
  readonly bucket: string;
  readonly options: S3Options & { readonly endpoint: string };
  /** Not s3rver, which ignores conditional puts, misreads some ranges and lists out of order. */
  readonly isComplete: boolean;
  close(): Promise<void>;
}

interface Running {
  readonly name: string;
  readonly options: S3Options & { readonly endpoint: string };
  readonly isComplete: boolean;
  close(): Promise<void>;
}

/** Finds or starts a server and makes a bucket there. */
export async function openS3Place(): Promise<S3Place> {
  const running = await startServer();
  const bucket = `lockstep-${randomBytes(6).toString('hex')}`;
  const { accessKeyId, secretAccessKey, endpoint } = running.options;
  const client = new S3Client({
    endpoint,
    region: 'us-east-1',
    forcePathStyle: true,
    ...(accessKeyId !== undefined && secretAccessKey !== undefined
      ? { credentials: { accessKeyId, secretAccessKey } }
      : {}),
  });
  await client.send(new CreateBucketCommand({ Bucket: bucket }));
  client.destroy();
  return { ...running, bucket };
}

async function startServer(): Promise<Running> {
  // Its credentials are found as an operator's are: by the SDK, in the environment.
  const endpoint = readEnvironment().test.s3Endpoint;
  if (endpoint !== undefined)
    return {
      name: `s3 at ${endpoint}`,
      // Named here, so that tests can take other keys in their place.
      options: {
        endpoint,
        accessKeyId: childEnvironment({})['AWS_ACCESS_KEY_ID'],
        secretAccessKey: childEnvironment({})['AWS_SECRET_ACCESS_KEY'],
      },
      isComplete: true,
      close: async () => undefined,
    };
  if (findServer('versitygw') === undefined) return startS3rver();
  const server = await startVersitygw();
  return {
    name: 's3 by versitygw',
    options: { endpoint: server.url, ...s3TestKeys },
    isComplete: true,
    close: server.close,
  };
}

interface S3rver {
  run(): Promise<{ port: number }>;
  close(): Promise<void>;
}

async function startS3rver(): Promise<Running> {
  const load = createRequire(import.meta.url);
  const Server = load('s3rver') as new (options: Record<string, unknown>) => S3rver;
  const directory = await mkdtemp(join(tmpdir(), 'lockstep-s3rver-'));
  const server = new Server({ port: 0, address: '127.0.0.1', silent: true, directory });
  const { port } = await server.run();
  return {
    name: 's3rver',
    options: {
      endpoint: `http://127.0.0.1:${port}`,
      accessKeyId: 'S3RVER',
      secretAccessKey: 'S3RVER',
    },
    isComplete: false,
    close: async () => {
      await server.close();
      await rm(directory, { recursive: true, force: true });
    },
  };
}
