// Runs whose gradients travel as factors, and rounded to bfloat16: any number of workers gives the
// bytes of the trainer that is written from the definition.

import { factoredRun, testAnyWorkers } from '../../support/any-workers.js';

for (const precision of ['float32', 'bfloat16'] as const)
  testAnyWorkers({
    engine: { name: 'onnx', threads: 1 },
    worlds: [[2], [1], [3], [5]],
    change: factoredRun(precision),
    what: `factors in ${precision}`,
  });
