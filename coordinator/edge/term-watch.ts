// Whether this coordinator still leads: it looks at the run's terms now and then, and at once when
// somebody else is seen to hold the lease.

import type { ObjectStore } from '../../shared/store/store.js';
import type { Lease } from './lease.js';
import { newestTermNumber } from './terms.js';

/** How often the terms are looked at. */
const intervalMs = 5_000;

/** Calls `onLater` once when a later term than `term` leads; the function given back ends it. */
export function watchTerm(
  store: ObjectStore,
  term: number,
  lease: Lease | undefined,
  onLater: (term: number) => void,
): () => void {
  let isOver = false;
  let isLooking = false;
  const end = (): void => {
    isOver = true;
    clearInterval(timer);
  };
  const tell = (later: number): void => {
    if (isOver) return;
    end();
    onLater(later);
  };
  const look = async (): Promise<void> => {
    if (isLooking) return;
    isLooking = true;
    // A store that is away says nothing about who leads.
    const newest = await newestTermNumber(store).catch(() => 0);
    isLooking = false;
    if (newest > term) tell(newest);
  };
  const timer = setInterval(() => void look(), intervalMs);
  lease?.onLost(() => tell(term + 1));
  return end;
}
