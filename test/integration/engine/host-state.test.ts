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
  resultOf,
  scalarsOfUpdate,
  updatedNetworks,
  updateInputs,
  updateProgram,
  updateShape,
  type UpdateResult,
} from '../../support/engine/update-case.js';

const update = updateFunction(updatedNetworks, updateProgram, updateShape);

/** Values from the smallest denormal to near the largest, and both zeros among them. */
function anyMagnitude(length: number, seed: number): Float32Array {
  const stream = createRandomStream(seed);
  return Float32Array.from({ length }, () => {
    const exponent = Math.floor(stream.uniform() * 276) - 149;
    const value = (stream.uniform() - 0.5) * 2 ** exponent;
    return stream.uniform() < 0.05 ? 0 * value : value;
  });
}

function anyResult(seed: number): UpdateResult {
  const values = anyMagnitude(40_000, seed);
  return resultOf((i) => values[i]);
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
  resultOfStep: (n: number) => UpdateResult,
  stateOf: (n: number) => NamedArrays | undefined,
): void {
  const host = createHostState(updatedNetworks);
  const own = vectorsByName(host);
  for (let n = 1; n <= count; n++) {
    for (const [name, values] of Object.entries(stateOf(n) ?? {})) own[name].set(values);
    const before = mapArrays(own, (values) => values.slice());
    const [result, scalars] = [resultOfStep(n), scalarsOfUpdate(n)];
    const feeds = { ...before, ...result, scalars: update.scalarsOf(scalars) };
    const changed = runEagerly(update.inputs, update.run, feeds);
    const expected = update.squaresOf(changed);
    for (const { name } of update.squares) delete changed[name];
    const { exact, gradients, weights } = mapArrays(result, sharedCopy);
    const means = { exact, gradients, products: { weights } };
    const squares = host.apply(updateProgram, means, scalars);
    for (const [network, value] of Object.entries(expected))
      assert.ok(!Number.isFinite(value) || Math.abs(squares[network] / value - 1) < 1e-4);
    assert.deepEqual(bytesByName(own), bytesByName({ ...before, ...changed }));
  }
}

describe("the update of a state in the process's memory", () => {
  before(loadReferenceBackend);

  it('gives the bytes of TF.js’s CPU backend, update after update', () => {
    const tame = (n: number) => mapArrays(anyResult(n), (values) => values.map(Math.tanh));
    compareUpdates(
      5,
      (n) => tame(n) as UpdateResult,
      (n) => (n === 1 ? updateInputs(1) : undefined),
    );
  });

  it('gives them for denormal and huge values, infinities included', () => {
    const stateOf = (n: number) =>
      Object.fromEntries(
        update.changed.map(({ name, shape: [floats] }, i) => {
          const values = anyMagnitude(floats, 100 * n + i);
          return [name, name.endsWith('/secondMoment') ? values.map(Math.abs) : values];
        }),
      );
    compareUpdates(5, anyResult, stateOf);
  });

  it('takes gradients in bfloat16 as the float32 values that they are', () => {
    const result = anyResult(1);
    const bits = Uint16Array.from(
      new Uint32Array(result.gradients.buffer, 0, result.gradients.length),
      (word) => word >>> 16,
    );
    const widened = new Float32Array(Uint32Array.from(bits, (half) => half << 16).buffer);
    const [narrow, wide] = [bits, widened].map((gradients) => {
      const host = createHostState(updatedNetworks);
      const { exact, weights } = result;
      host.apply(updateProgram, { exact, gradients, products: { weights } }, scalarsOfUpdate(1));
      return bytesByName(vectorsByName(host));
    });
    assert.deepEqual(narrow, wide);
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
