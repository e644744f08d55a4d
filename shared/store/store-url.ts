// Where a store lies, from the url that the operator wrote. Pure: nothing is opened here.

import { resolve } from 'node:path';
import { OperatorError } from '../problems.js';
import { maskSecrets } from '../secrets.js';

/** A parsed store url. */
export type StoreLocation =
  | { readonly kind: 'file'; readonly url: string; readonly folder: string }
  | {
      readonly kind: 's3';
      readonly url: string;
      readonly bucket: string;
      /** Empty, or ends with a slash. */
      readonly prefix: string;
    };

const allowed = 's3://bucket/prefix, file://folder (below the working folder) or file:///folder';

function refuse(url: string, hint?: string): never {
  throw new OperatorError('this is not the url of an object store', [
    { key: 'url', given: maskSecrets(url), allowed, ...(hint === undefined ? {} : { hint }) },
  ]);
}

/** Parses `s3://bucket/prefix` or `file://folder`; an OperatorError says what is wrong. */
export function parseStoreUrl(url: string): StoreLocation {
  const trimmed = url.replace(/\/+$/, '');
  const file = /^file:\/\/(.*)$/s.exec(url);
  if (file) return parseFile(url, file[1] ?? '', trimmed);
  const s3 = /^s3:\/\/([^/]*)\/?(.*)$/s.exec(trimmed);
  if (!s3) refuse(url);
  return parseS3(url, s3[1] ?? '', s3[2] ?? '', trimmed);
}

function parseFile(url: string, path: string, trimmed: string): StoreLocation {
  if (path === '') refuse(url, 'a folder must follow file://');
  if (path.includes('\0')) refuse(url, 'a folder has no NUL character');
  return { kind: 'file', url: /^file:\/*$/.test(trimmed) ? url : trimmed, folder: resolve(path) };
}

function parseS3(url: string, bucket: string, path: string, trimmed: string): StoreLocation {
  if (bucket.includes('@') || bucket.includes(':'))
    refuse(url, 'credentials and endpoints come from the environment, not from the url');
  if (!/^[A-Za-z0-9][A-Za-z0-9._-]{2,62}$/.test(bucket))
    refuse(url, 'a bucket name has 3 to 63 letters, digits, dots and dashes');
  const parts = path.split('/');
  if (path !== '' && parts.some((part) => part === '' || part === '.' || part === '..'))
    refuse(url, 'a prefix has no empty part and no "." or ".."');
  if (Buffer.byteLength(path) > 100) refuse(url, 'a prefix has at most 100 bytes');
  return { kind: 's3', url: trimmed, bucket, prefix: path === '' ? '' : `${path}/` };
}
