// The sum that names a state: what "the same bytes" means in every test and at the end of a run.

import { createHash, type Hash } from 'node:crypto';

const sliceBytes = 4 * 1024 * 1024;

/**
 * SHA-256, in hexadecimal, over the parameters' bytes (float32, little-endian) of all networks,
 * given in the order of `Task.networks`.
 */
export function parametersSha256(networks: readonly Float32Array[]): string {
  const hash = createHash('sha256');
  for (const parameters of networks) updateHash(hash, parameters);
  return hash.digest('hex');
}

// Memory shared with another thread is copied slice by slice: hashes may refuse it.
function updateHash(hash: Hash, values: Float32Array): void {
  const bytes = new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
  const isShared = values.buffer instanceof SharedArrayBuffer;
  for (let at = 0; at < bytes.length; at += sliceBytes) {
    const slice = bytes.subarray(at, at + sliceBytes);
    hash.update(isShared ? Uint8Array.from(slice) : slice);
  }
}
