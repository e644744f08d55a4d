// Trainings on the TensorFlow engine: any number of workers gives the reference's bytes, which are
// not those of the embedded engine.

import { testAnyWorkers } from '../support/any-workers.js';
import { skipWithoutTensorflow } from '../support/servers.js';

testAnyWorkers({
  engine: { name: 'tensorflow', threads: 1 },
  worlds: [[1], [2], [3]],
  skip: skipWithoutTensorflow,
});
