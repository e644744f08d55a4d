// What the edges may ask of a coordinator that leads a run, and tell it.

import type { CoordinatorMessage } from '../../shared/control/messages.js';
import type { CoordinatorEvent, CoordinatorState } from '../core/state.js';
import type { PaceView } from '../core/straggler.js';

/** A coordinator that leads. */
export interface Leading {
  readonly state: CoordinatorState;
  /** How fast the workers are, for finding the slowest. */
  paces(): PaceView[];
  dispatch(event: CoordinatorEvent): void;
  /** Does nothing when the worker has no session. */
  send(worker: string, message: CoordinatorMessage): void;
}
