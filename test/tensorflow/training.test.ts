// Trainings on the TensorFlow engine: any number of workers gives the reference's bytes, which are
// not those of the embedded engine.

import { testAnyWorkers } from '../support/any-workers.js';
import { skipWithoutTensorflow } from '../support/servers.js';

testAnyWorkers('tensorflow', [1, 2, 3], skipWithoutTensorflow);
