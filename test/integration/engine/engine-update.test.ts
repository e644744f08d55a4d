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
  meanFloats,
  scalarsOfUpdate,
  updatedByDefinition,
  updatedNetworks,
  updateInputs,
  updateProgram,
} from '../../support/engine/update-case.js';

const update = updateFunction(updatedNetworks, updateProgram, meanFloats);
const { inputs, run } = update;

/** The update's inputs beside the state: a reduced vector and the numbers of update `n`. */
function given(n: number) {
  const stream = createRandomStream(n);
  const mean = Float32Array.from({ length: meanFloats }, () => stream.uniform() - 0.5);
  const scalars = scalarsOfUpdate(n);
  return { mean, scalars, feeds: { mean, scalars: update.scalarsOf(scalars) } };
}

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
      const { mean, scalars, feeds } = given(n);
      const expected = updatedByDefinition(state, mean, scalars);
      state = runEagerly(inputs, run, { ...state, ...feeds });
      assert.deepEqual(state, expected);
    }
  });

  it('is the same when an engine traces it', async () => {
    const state = updateInputs(2);
    const { mean, scalars, feeds } = given(2);
    const found = await runTraced(createOnnxEngine({ threads: 1 }), inputs, run, {
      ...state,
      ...feeds,
    });
    assertClose(found, updatedByDefinition(state, mean, scalars), 1e-6);
  });
});
