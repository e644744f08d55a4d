// The lease of a run: of several coordinators that stand by, the one that holds it leads. It makes
// fail-over quick and orderly; safe it is made by the terms (terms.ts), which fence a holder that
// does not know yet that it has lost the lease. A lease has a number of its own, how often it has
// changed hands; it is told to the operator, and nothing is fenced by it: the object store, where
// the run lies, knows terms only, and each holder takes the next one after it got the lease.

import { createHash } from 'node:crypto';
import { parseStoreUrl } from '../../shared/store/open-store.js';

export interface Lease {
  /** Waits until we hold the lease, or rejects with the signal's reason. To be called once. */
  acquire(signal: AbortSignal): Promise<void>;
  /** Tells why we don't hold it any more, at most once; at once if that has happened before. */
  onLost(listener: (reason: string) => void): void;
  /** Gives it up, if we hold it, so that the next one has it at once. Never rejects. */
  release(): Promise<void>;
}

/** What a lease carries besides its holder, where it can: for the operator, and from them. */
export interface LeaseBoard {
  /** How often the lease has changed hands, as we got it; 0 for the first holder ever. */
  readonly transitions: number;
  /** How many workers the run is to have, 0 to stop it; undefined while nobody has said. */
  readonly workers: number | undefined;
  /** Tells when that is seen to change. */
  onWorkers(listener: (workers: number) => void): void;
  /** From now on, what `describe` gives is shown with each renewal, as JSON. */
  show(describe: () => object): void;
}

/** The name of a run's lease: its id, to be recognised, and a sum of its url, to be its own. */
export function leaseKey(runUrl: string): string {
  const location = parseStoreUrl(runUrl);
  const place = location.kind === 'file' ? `file://${location.folder}` : location.url;
  const id = place.split('/').at(-1) ?? '';
  const sum = createHash('sha256').update(place).digest('hex').slice(0, 16);
  return `${id.replace(/[^A-Za-z0-9_-]/g, '-').slice(0, 64)}.${sum}`;
}
