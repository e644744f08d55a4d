// Gathers events that come together, so that they are decided on together: what follows from one
// takes a look at every worker, and a thousand workers may speak within a millisecond.

import type { CoordinatorEvent } from '../core/state.js';

export interface EventBatch {
  /** To be decided on with whatever else the network has brought. */
  soon(event: CoordinatorEvent): void;
  /** To be decided on before this returns, after what is waiting. */
  now(event: CoordinatorEvent): void;
}

/** Creates a batch; `decide` is given the events in the order they came. */
export function createEventBatch(
  decide: (events: readonly CoordinatorEvent[]) => void,
): EventBatch {
  let waiting: CoordinatorEvent[] = [];
  const drain = (): void => {
    const events = waiting;
    waiting = [];
    if (events.length > 0) decide(events);
  };
  return {
    soon: (event) => {
      if (waiting.push(event) === 1) setImmediate(drain);
    },
    now: (event) => {
      waiting.push(event);
      drain();
    },
  };
}
