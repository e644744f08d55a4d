// Decoded pictures, kept as long as they fit: bounded by bytes, the longest unused goes first.
// Knows nothing of where pictures come from.

import type { Pixels } from '../../dataset/decode.js';

export interface PixelCache {
  /** The picture, now the most recently used; undefined when it is not kept. */
  get(key: string): Pixels | undefined;
  /** Keeps a picture and drops the longest unused ones; one above the limit is not kept. */
  set(key: string, pixels: Pixels): void;
  /** Bytes of the pictures kept, never above the limit. */
  readonly bytes: number;
}

/** Creates a cache of at most `maxBytes` of pixels; 0 keeps nothing. */
export function createPixelCache(maxBytes: number): PixelCache {
  // A Map iterates in the order of insertion; a hit is inserted anew.
  const kept = new Map<string, Pixels>();
  let bytes = 0;
  const drop = (key: string): void => {
    bytes -= kept.get(key)?.data.byteLength ?? 0;
    kept.delete(key);
  };
  return {
    get(key) {
      const pixels = kept.get(key);
      if (pixels === undefined) return undefined;
      kept.delete(key);
      kept.set(key, pixels);
      return pixels;
    },
    set(key, pixels) {
      drop(key);
      if (pixels.data.byteLength > maxBytes) return;
      for (const oldest of kept.keys()) {
        if (bytes + pixels.data.byteLength <= maxBytes) break;
        drop(oldest);
      }
      kept.set(key, pixels);
      bytes += pixels.data.byteLength;
    },
    get bytes() {
      return bytes;
    },
  };
}
