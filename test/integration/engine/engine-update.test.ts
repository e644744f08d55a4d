// The update of a step in TF.js ops: on TF.js's own CPU backend it gives the bytes of its
// definition, and engines that trace it agree.

import assert from 'node:assert/strict';
import { before, describe, it } from 'node:test';
import { createRandomStream } from '../../../shared/random.js';
import { updateFunction } from '../../../task/ops/update.js';
import { createOnnxEngine } from '../../../worker/engine/onnx-engine.js';
import { assertClose, runEagerly, runTraced } from '../../support/engine/graph-parity.js';
import { loadReferenceBackend } from '../../support/engine/reference-backend.js';
import {
  resultOf,
  scalarsOfUpdate,
  updatedByDefinition,
  updatedNetworks,
  updateInputs,
  updateProgram,
  updateShape,
} from '../../support/engine/update-case.js';

const update = updateFunction(updatedNetworks, updateProgram, updateShape);
const { inputs, run } = update;

/** The update's inputs beside the state: a step's result and the numbers of update `n`. */
function given(n: number) {
  const stream = createRandomStream(n);
  const result = resultOf(() => stream.uniform() - 0.5);
  const scalars = scalarsOfUpdate(n);
  return { result, scalars, feeds: { ...result, scalars: update.scalarsOf(scalars) } };
}

const squaresOf = (values: Float32Array): number => values.reduce((sum, x) => sum + x * x, 0);

describe('the update in TF.js ops', () => {
  before(loadReferenceBackend);

  it('changes the vectors of the networks that are trained, and statistics that are found', () => {
    const names = update.changed.map(({ name }) => name);
    assert.deepEqual(names, [
      ...['parameters', 'firstMoment', 'secondMoment', 'average', 'statistics'].map(
        (vector) => `generator/${vector}`,
      ),
      ...['parameters', 'firstMoment', 'secondMoment'].map((vector) => `discriminator/${vector}`),
    ]);
  });

  it('gives the bytes of its definition, update after update', () => {
    let state = updateInputs(1);
    for (let n = 1; n <= 4; n++) {
      const { result, scalars, feeds } = given(n);
      const expected = updatedByDefinition(state, result, scalars);
      const found = runEagerly(inputs, run, { ...state, ...feeds });
      const squares = update.squaresOf(found);
      for (const { name } of update.squares) delete found[name];
      assert.deepEqual(found, expected);
      assert.ok(
        Math.abs(squares['generator'] / squaresOf(result.gradients.slice(1, 323)) - 1) < 1e-5,
      );
      state = found;
    }
  });

  it('is the same when an engine traces it', async () => {
    const state = updateInputs(2);
    const { result, scalars, feeds } = given(2);
    const engine = createOnnxEngine({ threads: 1 });
    const found = await runTraced(engine, inputs, run, { ...state, ...feeds });
    for (const { name } of update.squares) delete found[name];
    assertClose(found, updatedByDefinition(state, result, scalars), 1e-6);
  });
});
