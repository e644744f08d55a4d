// Trainings on the TensorFlow engine: any number of workers gives the reference's bytes, which are
// not those of the embedded engine. All that an engine does in a step is in a step with factors in
// bfloat16.

import { factoredRun, testAnyWorkers } from '../support/any-workers.js';
import { skipWithoutTensorflow } from '../support/servers.js';

testAnyWorkers({
  engine: { name: 'tensorflow', threads: 1 },
  worlds: [[1], [2], [3]],
  skip: skipWithoutTensorflow,
  change: factoredRun('bfloat16'),
  what: 'factors in bfloat16',
});
