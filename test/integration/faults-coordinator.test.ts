// The coordinator is killed, frozen and failed over: workers go on without it, and the run ends with
// the bytes of an undisturbed one.

import { coordinatorCases } from '../reliability/coordinator-cases.js';
import { testCases } from '../reliability/short-matrix.js';

testCases('faults of the coordinator', coordinatorCases, { steps: 400 });
