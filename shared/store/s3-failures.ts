// What an operator reads when S3 fails: the commonest mistakes by name, with what to do. The SDK's
// own errors quote requests and key ids, so none of them leaves: only masked text does.

import { maskSecrets, messageOf, OperatorError, printable } from '../problems.js';
import { httpStatusOf, reasonOf } from './retry.js';
import { StoreUnavailable } from './store.js';

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

/** What the SDK or a server calls credentials that were good once. */
const expiries = new Set([
  'ExpiredToken',
  'ExpiredTokenException',
  'TokenRefreshRequired',
  'RequestExpired',
]);

/** Whether the credentials have expired: new ones may be there by now. */
export function isExpiry(error: unknown): boolean {
  return expiries.has(nameOf(error));
}

/** Codes of Node for a certificate that is not trusted, or a server that speaks no TLS. */
const tlsCodes = /^(DEPTH_ZERO_|UNABLE_TO_|SELF_SIGNED_|CERT_|ERR_TLS_|ERR_SSL_|EPROTO$)/;

function operatorAdvice(name: string, place: S3Place, region?: string): Advice | undefined {
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
      return { allowed: `a key id that ${where} knows (it said ${name})`, hint: keysHint };
    case 'SignatureDoesNotMatch':
      return {
        allowed: `the secret that belongs to the key id at ${where} (it said ${name})`,
        hint: 'correct AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or the profile; a space counts',
      };
    case 'InvalidSecurity':
    case 'InvalidToken':
      return { allowed: `credentials that ${where} accepts (it said ${name})`, hint: keysHint };
    case 'RequestTimeTooSkewed':
      return {
        allowed: `a clock that is right; ${where} has another time (it said ${name})`,
        hint: `set this machine's clock, by NTP: here it is ${new Date().toISOString()}`,
      };
    case 'Tls':
      return {
        allowed: `a TLS connection to ${where}`,
        hint:
          'its certificate must be one that this machine trusts (a private authority: ' +
          'NODE_EXTRA_CA_CERTS), and http:// goes without TLS',
      };
    case 'NoS3':
      return {
        allowed: `an S3 server at ${where}; what answers is none`,
        hint: 'correct LOCKSTEP_S3_ENDPOINT: http:// or https://, and the port of the S3 interface',
      };
    case 'AccessDenied':
    case 'AllAccessDisabled':
    case 'Forbidden':
    case '403':
      return {
        allowed: `a bucket and prefix that these credentials may use at ${where}`,
        hint: 'ask for the rights to get, put, list and delete objects there',
      };
    case 'PermanentRedirect':
    case 'TemporaryRedirect':
    case 'IncorrectEndpoint':
    case 'AuthorizationHeaderMalformed':
    case 'IllegalLocationConstraintException':
      return {
        allowed: `the region that the bucket is in (it said ${name})`,
        hint: region === undefined ? 'set AWS_REGION' : `set AWS_REGION=${region}`,
      };
    default:
      if (!expiries.has(name)) return undefined;
      return {
        allowed: `credentials that have not expired (it said ${name})`,
        hint: 'get new ones; a profile or a role is read again, variables are not',
      };
  }
}

function nameOf(error: unknown): string {
  const { name, Code, code } = error as { name?: string; Code?: string; code?: string };
  if (code !== undefined && tlsCodes.test(code)) return 'Tls';
  const isOdd = name === 'SyntaxError' || code === 'HPE_INVALID_CONSTANT';
  if (isOdd || /Deserialization error/.test(messageOf(error))) return 'NoS3';
  if (error instanceof Error && error.message === 'Region is missing')
    return 'AuthorizationHeaderMalformed';
  if (httpStatusOf(error) === 403 && (name === 'Unknown' || name === 'UnknownError')) return '403';
  return Code ?? name ?? 'Unknown';
}

/** The error to throw for a failed request `what` ("put checkpoints/x"). */
export function s3Failure(error: unknown, what: string, place: S3Place): Error {
  const name = nameOf(error);
  const advice = operatorAdvice(name, place, regionIn(error));
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
  const masked = known.reduce<string>(
    (masked, secret) => masked.replaceAll(secret!, '***'),
    maskSecrets(text),
  );
  return printable(masked);
}

function next(error: unknown): string {
  const code = (error as { code?: string }).code;
  if (code === 'ECONNREFUSED')
    return '; nothing listens there: start the server or correct LOCKSTEP_S3_ENDPOINT';
  if (code === 'ENOTFOUND' || code === 'EAI_AGAIN')
    return '; the name does not resolve: correct LOCKSTEP_S3_ENDPOINT';
  return '';
}

/** The region that a server names, in its answer or in its words. */
function regionIn(error: unknown): string | undefined {
  const { Region } = error as { Region?: unknown };
  const found = Region ?? /expecting '([a-z0-9-]{1,64})'/.exec(messageOf(error))?.[1];
  return typeof found === 'string' && /^[a-z0-9-]{1,64}$/.test(found) ? found : undefined;
}
