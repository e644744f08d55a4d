// Every kernel that the onnx engine can lower, at odd shapes, strides and paddings.

import { before, describe } from 'node:test';
import { onnxLowerings } from '../../../trace/lower/onnx/lower.js';
import { createOnnxEngine } from '../../../worker/engine/onnx-engine.js';
import { testKernels } from '../../support/engine/kernel-cases.js';
import { loadReferenceBackend } from '../../support/engine/reference-backend.js';

describe('kernels on the onnx engine', () => {
  before(loadReferenceBackend);

  // The preparation of the graph writes PreluWithGradient.
  testKernels(() => createOnnxEngine({ threads: 1 }), onnxLowerings, {
    alsoIdle: ['PreluWithGradient'],
  });
});
