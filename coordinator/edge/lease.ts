// The lease of a run: of several coordinators that stand by, the one that holds it leads. It makes
// fail-over quick and orderly; safe it is made by the terms (terms.ts), which fence a holder that
// does not know yet that it has lost the lease.

import { createHash } from 'node:crypto';
import { parseStoreUrl } from '../../shared/store/store-url.js';

export interface Lease {
  /** Waits until we hold the lease, or rejects with the signal's reason. To be called once. */
  acquire(signal: AbortSignal): Promise<void>;
  /** Tells when another one is seen to hold it, at most once. */
  onLost(listener: (holder: string) => void): void;
  /** Gives it up, if we hold it, so that the next one has it at once. Never rejects. */
  release(): Promise<void>;
}

/** The name of a run's lease: its id, to be recognised, and a sum of its url, to be its own. */
export function leaseKey(runUrl: string): string {
  const location = parseStoreUrl(runUrl);
  const place = location.kind === 'file' ? `file://${location.folder}` : location.url;
  const id = place.split('/').at(-1) ?? '';
  const sum = createHash('sha256').update(place).digest('hex').slice(0, 16);
  return `${id.replace(/[^A-Za-z0-9_-]/g, '-').slice(0, 64)}.${sum}`;
}
