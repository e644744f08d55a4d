// The object store or NATS goes away, and checkpoints are spoiled: the run ends with the bytes of an
// undisturbed one.

import { storeCases } from '../reliability/store-cases.js';
import { testCases } from '../reliability/short-matrix.js';

testCases('faults of the stores and of NATS', storeCases, { steps: 120 });
