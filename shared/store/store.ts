// The object store, as all of Lockstep sees it: named bytes with ranges and conditional puts.
// `s3://` and `file://` are behind it, and one contract test holds for both.

/** What is known of an object without its bytes. */
export interface ObjectInfo {
  /** Key relative to the store's root. */
  readonly key: string;
  readonly bytes: number;
  /** Opaque version; changes whenever the bytes do. */
  readonly etag: string;
}

/** Half-open byte range [start, end). */
export interface ByteRange {
  readonly start: number;
  readonly end: number;
}

export interface PutOptions {
  /** Only if there is no such object yet; else `PreconditionFailed`. */
  readonly ifAbsent?: boolean;
  /** Only if the object still has this etag; else `PreconditionFailed`. */
  readonly ifMatch?: string;
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
  put(key: string, body: Uint8Array, options?: PutOptions): Promise<ObjectInfo>;
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
