// A leader and the lease it holds: shows the run there, and obeys how many workers are wanted. What
// it may not obey it says, and leads on: the operator can correct it at any time.

import { leaderStatusOf, type LeaderFacts } from '../../shared/kubernetes/leader-status.js';
import type { CoordinatorEvent } from '../core/state.js';
import type { AdminHandlers } from './admin.js';
import type { LeaseBoard } from './lease.js';

export interface Serving {
  readonly admin: Pick<AdminHandlers, 'status' | 'scale'>;
  /** Asked with each renewal. */
  facts(): LeaderFacts;
  dispatch(event: CoordinatorEvent): void;
  readonly onNotice: (text: string) => void;
}

/** Begins to show and to obey; to be called once, when the run is led. */
export function serveLease(board: LeaseBoard, serving: Serving): void {
  const { admin, facts, dispatch, onNotice } = serving;
  const want = (workers: number): void => {
    if (workers === 0)
      return dispatch({ kind: 'stopAsked', reason: 'the run is to have no workers' });
    if (workers === admin.status().target) return;
    try {
      admin.scale(workers);
    } catch (error) {
      onNotice(error instanceof Error ? error.message : String(error));
    }
  };
  board.show(() => leaderStatusOf(admin.status(), facts()));
  board.onWorkers(want);
  if (board.workers !== undefined) want(board.workers);
}
