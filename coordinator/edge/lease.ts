// The lease of a run: of several coordinators that stand by, the one that holds it leads. It makes
// fail-over quick and orderly; the terms (terms.ts) make it safe: they fence a holder that does not
// know yet that it has lost the lease. A lease has a number of its own, how often it has changed
// hands, for the operator; nothing is fenced by it, for the object store, where the run lies, knows
// terms only.

import { leaderStatusOf, type LeaderFacts } from '../../shared/kubernetes/leader-status.js';
import { messageOf } from '../../shared/problems.js';
import { sha256Of } from '../../shared/sha256.js';
import { parseStoreUrl } from '../../shared/store/places.js';
import type { CoordinatorEvent } from '../core/state.js';
import type { OperatorRequests } from './operator-service.js';

export interface Lease {
  /** Waits until we hold the lease, or rejects with the signal's reason. To be called once. */
  acquire(signal: AbortSignal): Promise<void>;
  /** Reports why we don't hold it any more, at most once; at once if that has happened before. */
  onLost(listener: (reason: string) => void): void;
  /**
   * Whether the one that held it before has said that the run is finished; to be looked at while we
   * hold it. Who has been killed has said nothing.
   */
  readonly saysFinished: boolean;
  /**
   * Gives it up, if we hold it, so that the next one has it at once; `isFinished`: and knows that
   * the run is finished. Never rejects.
   */
  release(isFinished?: boolean): Promise<void>;
}

/** What a lease carries besides its holder, where it can: for the operator, and from them. */
export interface LeaseBoard {
  /** How often the lease has changed hands, as we got it; 0 for the first holder ever. */
  readonly transitions: number;
  /** How many workers the run is to have, 0 to stop it; undefined while nobody has said. */
  readonly workers: number | undefined;
  /** Calls back when that is seen to change. */
  onWorkers(listener: (workers: number) => void): void;
  /** From now on, what `describe` gives is shown with each renewal, as JSON. */
  show(describe: () => object): void;
}

/** The name of a run's lease: its id, to be recognised, and a sum of its url, to be its own. */
export function leaseKey(runUrl: string): string {
  const location = parseStoreUrl(runUrl);
  const place = location.kind === 'file' ? `file://${location.folder}` : location.url;
  const id = place.split('/').at(-1) ?? '';
  const sum = sha256Of(place).slice(0, 16);
  return `${id.replace(/[^A-Za-z0-9_-]/g, '-').slice(0, 64)}.${sum}`;
}

/**
 * Shows the run on the lease that its leader holds, and obeys how many workers are wanted there.
 * What it may not obey is a notice, and it leads on: the operator can correct it at any time. To be
 * called once, when the run is led.
 */
export function serveLease(
  board: LeaseBoard,
  requests: Pick<OperatorRequests, 'status' | 'scale'>,
  /** Asked with each renewal. */
  facts: () => LeaderFacts,
  dispatch: (event: CoordinatorEvent) => void,
  onNotice: (text: string) => void,
): void {
  const want = (workers: number): void => {
    if (workers === 0)
      return dispatch({ kind: 'stopAsked', reason: 'the run is to have no workers' });
    if (workers === requests.status().target) return;
    try {
      requests.scale(workers);
    } catch (error) {
      onNotice(messageOf(error));
    }
  };
  board.show(() => leaderStatusOf(requests.status(), facts()));
  board.onWorkers(want);
  if (board.workers !== undefined) want(board.workers);
}
