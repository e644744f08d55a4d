// The update of a state in this process's memory: the bytes of the update in TF.js ops.

import assert from 'node:assert/strict';
import { before, describe, it } from 'node:test';
import { OperatorError } from '../../../shared/problems.js';
import { createRandomStream } from '../../../shared/random.js';
import { updateFunction } from '../../../task/ops/update.js';
import { createHostState, type HostState } from '../../../worker/engine/host-state.js';
import {
  mapArrays,
  runEagerly,
  sharedCopy,
  type NamedArrays,
} from '../../support/engine/graph-parity.js';
import { loadReferenceBackend } from '../../support/engine/reference-backend.js';
import {
  meanFloats,
  scalarsOfUpdate,
  updatedNetworks,
  updateInputs,
  updateProgram,
} from '../../support/engine/update-case.js';

const update = updateFunction(updatedNetworks, updateProgram, meanFloats);

/** Values from the smallest denormal to near the largest, and both zeros among them. */
function anyMagnitude(length: number, seed: number): Float32Array {
  const stream = createRandomStream(seed);
  return Float32Array.from({ length }, () => {
    const exponent = Math.floor(stream.uniform() * 276) - 149;
    const value = (stream.uniform() - 0.5) * 2 ** exponent;
    return stream.uniform() < 0.05 ? 0 * value : value;
  });
}

/** The state's vectors by the names of the update's inputs; they share its memory. */
function vectorsByName({ vectors }: HostState): NamedArrays {
  const all = Object.entries(vectors).flatMap(([network, own]) =>
    Object.entries(own).map(([vector, values]) => [`${network}/${vector}`, values] as const),
  );
  return Object.fromEntries(all);
}

/** By bytes: numbers that are equal may differ in the sign of a zero. */
const bytesByName = (arrays: NamedArrays): Record<string, Buffer> =>
  Object.fromEntries(
    Object.entries(arrays).map(([name, values]) => [name, Buffer.from(values.slice().buffer)]),
  );

/** Compares updates, each of a state by `stateOf` or, without one, of what the last one left. */
function compareUpdates(
  count: number,
  meanOf: (n: number) => Float32Array,
  stateOf: (n: number) => NamedArrays | undefined,
): void {
  const host = createHostState(updatedNetworks);
  const own = vectorsByName(host);
  for (let n = 1; n <= count; n++) {
    for (const [name, values] of Object.entries(stateOf(n) ?? {})) own[name].set(values);
    const before = mapArrays(own, (values) => values.slice());
    const [mean, scalars] = [meanOf(n), scalarsOfUpdate(n)];
    const feeds = { ...before, mean, scalars: update.scalarsOf(scalars) };
    const changed = runEagerly(update.inputs, update.run, feeds);
    host.apply(updateProgram, sharedCopy(mean), scalars);
    assert.deepEqual(bytesByName(own), bytesByName({ ...before, ...changed }));
  }
}

describe("the update of a state in the process's memory", () => {
  before(loadReferenceBackend);

  it('gives the bytes of TF.js’s CPU backend, update after update', () => {
    const meanOf = (n: number) => anyMagnitude(meanFloats, n).map(Math.tanh);
    compareUpdates(5, meanOf, (n) => (n === 1 ? updateInputs(1) : undefined));
  });

  it('gives them for denormal and huge values, infinities included', () => {
    const stateOf = (n: number) =>
      Object.fromEntries(
        update.changed.map(({ name, shape: [floats] }, i) => {
          const values = anyMagnitude(floats, 100 * n + i);
          return [name, name.endsWith('/secondMoment') ? values.map(Math.abs) : values];
        }),
      );
    compareUpdates(5, (n) => anyMagnitude(meanFloats, n), stateOf);
  });

  it('refuses a network that is larger than its memory can be', () => {
    const parameters = [{ name: 'dense/kernel', shape: [32_768, 16_384] }];
    assert.throws(
      () => createHostState([{ name: 'huge', parameters, statistics: [] }]),
      (error) =>
        error instanceof OperatorError &&
        /huge: given "537 million parameters"; allowed: less than 357 million/.test(error.message),
    );
  });
});
