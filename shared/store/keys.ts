// Keys and prefixes: what may name an object, on every store alike, and in which order keys come.
// A key that is refused here can neither leave the store's root nor meet a store's own files.

import type { ByteRange } from './store.js';

const maxKeyBytes = 900;

/** Names that a file store keeps for itself: temporary files and locks. */
export const reservedName = '.lockstep-';

/** Why `key` can't name an object; undefined when it can. */
export function keyFault(key: string): string | undefined {
  if (key === '') return 'it is empty';
  if (Buffer.byteLength(key) > maxKeyBytes) return `it is longer than ${maxKeyBytes} bytes`;
  // eslint-disable-next-line no-control-regex
  if (/[\u0000-\u001f\u007f\\]/.test(key)) return 'it has a control character or a backslash';
  const parts = key.split('/');
  if (parts.includes('')) return 'a part between two slashes is empty';
  if (parts.some((part) => part === '.' || part === '..')) return 'it has a part "." or ".."';
  if (parts.some((part) => Buffer.byteLength(part) > 200)) return 'a part is over 200 bytes long';
  if (parts.some((part) => part.startsWith(reservedName)))
    return `a part starts with "${reservedName}", which the store keeps for itself`;
  return undefined;
}

/** Throws when `key` can't name an object: a bug of the caller or a forged reference. */
export function requireKey(key: string): void {
  const fault = keyFault(key);
  if (fault !== undefined) throw new Error(`not a key: ${JSON.stringify(key)}: ${fault}`);
}

/** The order of keys: by their UTF-8 bytes, as S3 lists them. */
export function compareKeys(a: string, b: string): number {
  return Buffer.compare(Buffer.from(a), Buffer.from(b));
}

/** Throws when a range is not one of whole numbers from 0: a bug of the caller. */
export function requireRange(range: ByteRange | undefined): void {
  if (range === undefined) return;
  const isRange = [range.start, range.end].every((n) => Number.isSafeInteger(n) && n >= 0);
  if (!isRange) throw new Error(`not a byte range: [${range.start}, ${range.end})`);
}
