// SHA-256 of what lies in memory, as records, indexes and manifests write it down.

import { hash } from 'node:crypto';

/** SHA-256 of bytes, or of a text in UTF-8, as 64 hexadecimal digits. */
export function sha256Of(data: string | Uint8Array): string {
  return hash('sha256', data);
}
