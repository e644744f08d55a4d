// How a worker comes by the state that a world starts from: it has it, reads it, or is sent it by
// a peer. Whichever, the own state changes as a whole, at the end, or not at all.

import type { TrainingState } from '../../shared/checkpoint/state.js';
import type { ToCompute } from '../network/ports.js';
import type { Cancellation } from './cancellation.js';
import type { OwnState } from './own-state.js';
import type { PreparedRun } from './prepare.js';
import type { SendToNetwork } from './prepare-request.js';
import { createStateTransfer, type StateMessage } from './state-transfer.js';

/** What the network thread asks for when a world is formed. */
export type Enter = ToCompute & { readonly kind: 'enter' };

export interface StateTaking {
  /** Resolves once the own state is that of the world's first step. */
  take(order: Enter, cancellation: Cancellation): Promise<void>;
  /** Answers to fetchState; dropped when nothing is being fetched. */
  onMessage(message: StateMessage): void;
}

/** Creates what takes states; `aroundChange` is given each change of the own state to make. */
export function createStateTaking(
  run: Pick<PreparedRun, 'own' | 'openState'>,
  aroundChange: (change: () => void) => void,
  send: SendToNetwork,
): StateTaking {
  const { own } = run;
  let onMessage: ((message: StateMessage) => void) | undefined;

  const fetch = async (order: Enter, cancellation: Cancellation): Promise<TrainingState> => {
    const { generation, donor, step } = order;
    const transfer = createStateTransfer(own.networks, step, () => send({ kind: 'stateTaken' }));
    onMessage = transfer.take;
    send({ kind: 'fetchState', generation, donor, step });
    try {
      return await cancellation.orAborted(transfer.state);
    } catch (error) {
      send({ kind: 'dropState' });
      throw error;
    } finally {
      onMessage = undefined;
    }
  };
  return {
    take: async (order, cancellation) => {
      if (order.source === 'own') return requireOwn(own, order);
      const state =
        order.source === 'peer'
          ? await fetch(order, cancellation)
          : await cancellation.orAborted(run.openState(order.step));
      aroundChange(() => own.replace(state));
    },
    onMessage: (message) => onMessage?.(message),
  };
}

/** A world that takes this worker for another than it is would be a bug. */
export class StateMissing extends Error {}

function requireOwn({ hasState, state }: OwnState, { step }: Enter): void {
  if (hasState && state.step === step) return;
  const has = hasState ? `is of step ${state.step}` : 'is none';
  throw new StateMissing(`the own state of step ${step} is due, but there ${has}`);
}
