// The S3 client behind the store: endpoint, credentials, timeouts. Its own retries are off, since
// retry.ts decides those. Nothing here knows keys or conditions.

import { S3Client, type S3ClientConfig } from '@aws-sdk/client-s3';
import { NodeHttpHandler } from '@smithy/node-http-handler';

/** Where and as whom; what is missing is found by the AWS SDK's default chains. */
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
