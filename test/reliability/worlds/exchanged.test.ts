// Runs whose gradients travel as factors, and rounded to bfloat16: any number of workers gives the
// bytes of the trainer that is written from the definition.

import { factoredRun, testAnyWorkers } from '../../support/any-workers.js';

const engine = { name: 'onnx', threads: 1 } as const;

testAnyWorkers({
  ...{ engine, worlds: [[2]], resumes: false },
  ...{ change: factoredRun('float32'), what: 'factors in float32' },
});

testAnyWorkers({
  ...{ engine, worlds: [[1], [3], [5, '--lanes', '2']] },
  ...{ change: factoredRun('bfloat16'), what: 'factors in bfloat16' },
});
