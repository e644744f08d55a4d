// What an S3 failure means to the operator: which url, what is wrong, what to do. Pure. The SDK's
// own errors quote requests and key ids, so none of them leaves the store: only masked text does.

import { OperatorError } from '../problems.js';
import { maskSecrets } from '../secrets.js';
import { reasonOf, statusOf } from './retry.js';

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

/** The store could not be reached or did not answer properly, tries included. */
export class StoreUnavailable extends Error {
  constructor(
    readonly url: string,
    message: string,
  ) {
    super(message);
    this.name = 'StoreUnavailable';
  }
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
  if (statusOf(error) === 403 && (name === 'Unknown' || name === 'UnknownError')) return '403';
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
  const text = error instanceof Error ? error.message : String(error);
  const where = place.endpoint === undefined ? '' : ` at ${place.endpoint}`;
  return new StoreUnavailable(
    place.url,
    mask(
      `can't ${what} in ${place.url}${where}: ` +
        `${reasonOf(error)}: ${text.slice(0, 300)}${next(error)}`,
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
