// Two small networks, one of them with statistics, and states of them for tests of checkpoints; and
// the file of a part of one, whole and at once.

import { formOfPart, type EncodedPart, type PartPlan } from '../../shared/checkpoint/parts.js';
import {
  createState,
  vectorsInOrder,
  type NetworkState,
  type TrainingState,
} from '../../shared/checkpoint/state.js';
import type { NetworkSpec } from '../../shared/layout.js';
import { createRandomStream } from '../../shared/random.js';

export const generator = {
  name: 'generator',
  parameters: [
    { name: 'g/kernel', shape: [3, 7] },
    { name: 'g/bias', shape: [2] },
  ],
  statistics: [],
  isAveraged: true,
};

export const discriminator = {
  name: 'discriminator',
  parameters: [{ name: 'd/kernel', shape: [5] }],
  statistics: [{ name: 'd/mean', shape: [3] }],
};

export const networks = [generator, discriminator];

/** A state whose values depend on the step. */
export function stateAt(step: number): TrainingState {
  const random = createRandomStream(step);
  const state = createState(networks);
  for (const vector of vectorsInOrder(networks, state))
    vector.forEach((_, i) => (vector[i] = random.normal()));
  Object.values(state.networks).forEach((network, i) => (network.updates = step + i));
  return Object.assign(state, { step });
}

/** The file of a part of a state that lies in memory. */
export function encodePart(part: PartPlan, network: NetworkSpec, state: NetworkState): EncodedPart {
  const { name, head, vectors } = formOfPart(part, [network]);
  const values = vectors.map(({ vector }) => {
    const { buffer, byteOffset, byteLength } = state[vector];
    return new Uint8Array(buffer, byteOffset, byteLength);
  });
  return { name, body: Buffer.concat([head, ...values]) };
}
