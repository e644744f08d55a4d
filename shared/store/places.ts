// Where runs, datasets, models and pictures may lie, as operators write it: a folder or a place in
// a bucket. Whatever is neither is refused by name, before anything is read or written.

import { resolve } from 'node:path';
import { maskSecrets, OperatorError, type Problem } from '../problems.js';

/** A place, taken apart. `url` names it from any working folder. */
export type StoreLocation =
  | { readonly kind: 'file'; readonly url: string; readonly folder: string }
  | {
      readonly kind: 's3';
      readonly url: string;
      readonly bucket: string;
      /** Empty, or ends with a slash. */
      readonly prefix: string;
    };

/** What a place looks like, for messages. */
export const placeForms =
  's3://bucket/prefix, file://folder (below the working folder) or file:///folder';

const mostLetters = 2000;
const mostPrefixBytes = 100;

/** Parses a place; an OperatorError says what is wrong with it. `key` is where it was given. */
export function parseStoreUrl(url: string, key = 'url', allowed = placeForms): StoreLocation {
  const parsed = parsePlace(url);
  if (typeof parsed !== 'string') return parsed;
  const problem = problemOf(key, url, allowed, parsed);
  throw new OperatorError('this is not the url of an object store', [problem]);
}

/** What is wrong with a place that was given at `key`; undefined when nothing is. */
export function placeProblem(key: string, url: string): Problem | undefined {
  const parsed = parsePlace(url);
  return typeof parsed === 'string' ? problemOf(key, url, placeForms, parsed) : undefined;
}

function problemOf(key: string, url: string, allowed: string, reason: string): Problem {
  const hint = reason === '' ? {} : { hint: maskSecrets(reason) };
  return { key, given: maskSecrets(url), allowed, ...hint };
}

/** A place, or a folder of this machine by its path. */
export function parsePlaceOrPath(given: string, key: string): StoreLocation {
  const allowed = `the path of a folder, ${placeForms}`;
  if (given === '' || hasScheme(given)) return parseStoreUrl(given, key, allowed);
  return parseStoreUrl(`file://${resolve(given)}`, key, allowed);
}

/** The path of a folder on this machine, which may be given as file://folder as well. */
export function parseFolder(given: string, key: string): string {
  if (given !== '' && !hasScheme(given) && !/\p{Cc}/u.test(given)) return given;
  const allowed = 'the path of a folder on this machine';
  const place = parsePlace(given);
  if (typeof place !== 'string' && place.kind === 'file') return place.folder;
  const problem = { key, given: maskSecrets(given), allowed };
  throw new OperatorError('files can not be written there', [problem]);
}

/** "s3:", "gs:", "file:"; one letter is a drive. */
function hasScheme(given: string): boolean {
  return /^[A-Za-z][A-Za-z0-9+.-]+:\//.test(given);
}

/** The location, or why there is none: words for the operator, empty where nothing is to add. */
function parsePlace(url: string): StoreLocation | string {
  if (/\p{Cc}/u.test(url)) return 'it has a control character';
  if (url.length > mostLetters) return `it is longer than ${mostLetters} letters`;
  const file = /^file:\/\/(.*)$/.exec(url);
  if (file) return parseFile(file[1] ?? '');
  const s3 = /^s3:\/\/([^/]*)\/?(.*)$/.exec(url.replace(/\/+$/, ''));
  if (s3) return parseS3(s3[1] ?? '', s3[2] ?? '');
  return slipOf(url);
}

/** What was meant by a scheme that is nearly one of ours, or by another's. */
function slipOf(url: string): string {
  const [, scheme = '', rest = ''] = /^([A-Za-z][A-Za-z0-9+.-]+):\/*(.*)$/.exec(url) ?? [];
  const lower = scheme.toLowerCase();
  if (lower === 's3')
    return rest === '' ? 'the name of a bucket must follow s3://' : `did you mean s3://${rest}?`;
  if (lower === 'file') return `did you mean file://${/^file:\//i.test(url) ? '/' : ''}${rest}?`;
  if (lower === 'http' || lower === 'https')
    return "the address of an S3 server goes into LOCKSTEP_S3_ENDPOINT, not into a place's url";
  if (url.startsWith('~')) return 'write the home folder out: file:///home/...';
  if (scheme === '' && url !== '') return `did you mean file://${url}?`;
  return '';
}

function parseFile(path: string): StoreLocation | string {
  if (path === '') return 'a folder must follow file://';
  const [first = ''] = path.split('/');
  if (/^localhost$|^\d+(\.\d+){3}$|[^@]@[^@]|:/.test(first))
    return 'no host follows file://; a folder from the root on is file:///folder';
  if (first.startsWith('~')) return 'write the home folder out: file:///home/...';
  const folder = resolve(path);
  if (folder === '/') return "the root of the file system is nobody's to fill";
  // The working folder is a part of it, and every process takes it apart again.
  if (/[?\p{Cc}]/u.test(folder)) return 'a folder has no query: ? is not allowed';
  if (folder.length > mostLetters) return `its path is longer than ${mostLetters} letters`;
  return { kind: 'file', url: `file://${folder}`, folder };
}

function parseS3(bucket: string, path: string): StoreLocation | string {
  if (/[@:]/.test(bucket))
    return 'credentials and endpoints come from the environment, not from the url';
  if (bucket === '') return 'the name of a bucket must follow s3://';
  if (!/^[A-Za-z0-9][A-Za-z0-9._-]{2,62}$/.test(bucket))
    return 'a bucket name has 3 to 63 letters, digits, dots and dashes';
  if (/[?#\\]/.test(path)) return 'a prefix has no query: none of ? # \\ is allowed';
  const parts = path.split('/');
  if (path !== '' && parts.some((part) => part === '' || part === '.' || part === '..'))
    return 'a prefix has no empty part and no "." or ".."';
  if (Buffer.byteLength(path) > mostPrefixBytes)
    return `a prefix has at most ${mostPrefixBytes} bytes`;
  const url = path === '' ? `s3://${bucket}` : `s3://${bucket}/${path}`;
  return { kind: 's3', url, bucket, prefix: path === '' ? '' : `${path}/` };
}
