// Workers are killed, frozen, thawed and asked to leave at each moment of their work: every run
// ends with the bytes of an undisturbed one, and goes on in time.

import { workerCases } from '../reliability/worker-cases.js';
import { testCases } from '../reliability/short-matrix.js';

testCases('faults of a worker', workerCases, { steps: 160 });
