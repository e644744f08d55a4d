// Worlds that change while faults happen, and several faults at once: every run ends with the bytes
// of an undisturbed one.

import { membershipCases } from '../reliability/membership-cases.js';
import { testCases } from '../reliability/short-matrix.js';

testCases('changes of the world, and faults at once', membershipCases, { steps: 160 });
