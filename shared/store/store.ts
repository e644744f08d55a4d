// The object store, as all of Lockstep sees it: named bytes with ranges and a put-if-absent.
// `s3://` and `file://` are behind it, and one contract test holds for both.

/** What is known of an object without its bytes. */
export interface ObjectInfo {
  /** Key relative to the store's root. */
  readonly key: string;
  readonly bytes: number;
}

/** Half-open byte range [start, end). */
export interface ByteRange {
  readonly start: number;
  readonly end: number;
}

export interface PutOptions {
  /** Only if there is no such object yet; else `PreconditionFailed`. */
  readonly ifAbsent?: boolean;
  readonly contentType?: string;
}

/** Keys are relative to the root that the store was opened at, with `/` between parts. */
export interface ObjectStore {
  /** The root as the operator wrote it, without credentials. */
  readonly url: string;
  /**
   * The object's bytes, or those of a range that exist (fewer, or none, where the object ends
   * before it); throws `ObjectNotFound`.
   */
  get(key: string, range?: ByteRange): Promise<Buffer>;
  /** Undefined when there is no such object. */
  head(key: string): Promise<ObjectInfo | undefined>;
  /** Atomic: a reader sees the old bytes or the new ones. Large bodies go in parts. */
  put(key: string, body: Uint8Array, options?: PutOptions): Promise<void>;
  /** Objects whose key starts with `prefix`, in the order of their keys. */
  list(prefix: string): AsyncIterable<ObjectInfo>;
  /** Deleting what is not there is no error. */
  delete(key: string): Promise<void>;
  close(): Promise<void>;
}

export class ObjectNotFound extends Error {
  constructor(
    readonly url: string,
    readonly key: string,
  ) {
    super(`${url}/${key} does not exist`);
    this.name = 'ObjectNotFound';
  }
}

export class PreconditionFailed extends Error {
  constructor(
    readonly url: string,
    readonly key: string,
  ) {
    super(`${url}/${key} was not written: its condition did not hold`);
    this.name = 'PreconditionFailed';
  }
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
