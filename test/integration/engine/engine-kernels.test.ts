// Every kernel that the onnx engine can lower, at odd shapes, strides and paddings, against
// TF.js's own CPU backend.

import assert from 'node:assert/strict';
import { before, describe, it } from 'node:test';
import { loadReferenceBackend } from '../../support/reference-backend.js';
import { onnxLowerings } from '../../../trace/lower/onnx/lower.js';
import { trace } from '../../../trace/trace.js';
import { createOnnxEngine } from '../../../worker/engine/onnx-engine.js';
import {
  assertClose,
  randomInputs,
  runEagerly,
  runTraced,
} from '../../support/engine/graph-parity.js';
import { inputsOf, kernelCases, runCase } from '../../support/engine/kernel-cases.js';

describe('kernels on the onnx engine', () => {
  before(loadReferenceBackend);

  for (const each of kernelCases)
    it(each.name, async () => {
      const inputs = inputsOf(each);
      const values = randomInputs(inputs, 11);
      const expected = runEagerly(inputs, runCase(each), values);
      const engine = createOnnxEngine({ threads: 1 });
      assertClose(await runTraced(engine, inputs, runCase(each), values), expected, 1e-5);
    });

  it('leaves no lowering untried', () => {
    const tried = new Set(
      kernelCases.flatMap((each) =>
        trace(inputsOf(each), runCase(each)).nodes.map(({ kernel }) => kernel),
      ),
    );
    // Folded away before any lowering, or written by the preparation of the graph.
    const never = ['Identity', 'Fill', 'ZerosLike', 'OnesLike', 'PreluWithGradient', 'ExpandDims'];
    const untried = Object.keys(onnxLowerings).filter(
      (kernel) => !tried.has(kernel) && !never.includes(kernel),
    );
    assert.deepEqual(untried, []);
  });
});
