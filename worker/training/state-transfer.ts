// A state that comes from a peer: put together beside the own one, and believed only when it is
// whole and its digest is the one that the peer told.

import {
  bytesOf,
  vectorsInOrder,
  writeBytes,
  createState,
  type TrainingState,
} from '../../shared/checkpoint/state.js';
import { stateDigest } from '../../shared/checkpoint/digests.js';
import type { NetworkSpec } from '../../shared/layout.js';
import type { Step } from '../../shared/words.js';
import type { StateHeader, ToCompute } from '../network/ports.js';

/** What the network thread answers to fetchState. */
export type StateMessage = Extract<
  ToCompute,
  { kind: 'stateHeader' | 'stateChunk' | 'stateFailed' }
>;

export interface StateTransfer {
  /** The whole state; rejects with what was wrong. */
  readonly state: Promise<TrainingState>;
  /** Takes the next answer. */
  take(message: StateMessage): void;
}

/** Creates the transfer of the state at `step`; `onTaken` is called after each chunk. */
export function createStateTransfer(
  networks: readonly NetworkSpec[],
  step: Step,
  onTaken: () => void,
): StateTransfer {
  let settle!: { resolve: (state: TrainingState) => void; reject: (error: Error) => void };
  const state = new Promise<TrainingState>((resolve, reject) => (settle = { resolve, reject }));
  // Nobody may be waiting any more when it fails.
  state.catch(() => undefined);
  let staging: { header: StateHeader; state: TrainingState; offset: number } | undefined;

  const complete = ({ header, state: staged, offset }: NonNullable<typeof staging>): void => {
    if (offset < header.bytes) return;
    if (stateDigest(networks, staged) !== header.digest)
      throw new Error('the state that came has another digest than it should have');
    settle.resolve(staged);
  };
  const takeOne = (message: StateMessage): void => {
    if (message.kind === 'stateFailed') throw new Error(message.reason);
    if (message.kind === 'stateHeader') {
      staging = { header: message.header, state: stage(networks, step, message.header), offset: 0 };
    } else {
      if (staging === undefined) throw new Error('a chunk of a state came before its header');
      writeBytes(vectorsInOrder(networks, staging.state), staging.offset, message.bytes);
      staging.offset += message.bytes.length;
      onTaken();
    }
    complete(staging);
  };
  return {
    state,
    take: (message) => {
      try {
        takeOne(message);
      } catch (error) {
        settle.reject(error as Error);
      }
    },
  };
}

/** Memory for the state that a header announces; throws when it is not the one that is due. */
function stage(networks: readonly NetworkSpec[], step: Step, header: StateHeader): TrainingState {
  if (header.step !== step) throw new Error(`a state of step ${header.step} came, not of ${step}`);
  const state = createState(networks);
  const bytes = bytesOf(vectorsInOrder(networks, state));
  if (header.bytes !== bytes)
    throw new Error(`a state of ${header.bytes} bytes came, ${bytes} are due`);
  for (const { name } of networks) {
    const updates = header.updates[name];
    if (updates === undefined) throw new Error(`the updates of ${name} were not told`);
    state.networks[name].updates = updates;
  }
  state.step = step;
  state.skippedInARow = header.skippedInARow;
  return state;
}
