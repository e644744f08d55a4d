// Whether this coordinator still leads: it looks at the run's terms now and then, and is told at
// once when it does not hold the lease any more.

import type { ObjectStore } from '../../shared/store/store.js';
import type { Lease } from './lease.js';
import { newestTermNumber } from './terms.js';

/** How often the terms are looked at. */
const intervalMs = 5_000;

/** What is told, once: a later term leads, or the lease is lost, which comes to the same. */
export type StepDown =
  | { readonly kind: 'superseded'; readonly term: number }
  | { readonly kind: 'leaseLost'; readonly reason: string };

/** Calls `onStepDown` once when this coordinator must not lead any more; the result ends it. */
export function watchTerm(
  store: ObjectStore,
  term: number,
  lease: Lease | undefined,
  onStepDown: (why: StepDown) => void,
): () => void {
  let isOver = false;
  let isLooking = false;
  const end = (): void => {
    isOver = true;
    clearInterval(timer);
  };
  const tell = (why: StepDown): void => {
    if (isOver) return;
    end();
    onStepDown(why);
  };
  const look = async (): Promise<void> => {
    if (isLooking) return;
    isLooking = true;
    // A store that is away says nothing about who leads.
    const newest = await newestTermNumber(store).catch(() => 0);
    isLooking = false;
    if (newest > term) tell({ kind: 'superseded', term: newest });
  };
  const timer = setInterval(() => void look(), intervalMs);
  lease?.onLost((reason) => tell({ kind: 'leaseLost', reason }));
  return end;
}
