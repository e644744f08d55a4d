// Runs launched on real nodes, in containers of the real image: they end in the bytes of the same
// training on one machine, and what can't start or must not get in says so.

import { doorCases } from './cases/doors.js';
import { overlayCases } from './cases/overlays.js';
import { startCases } from './cases/starts.js';
import { undisturbedCases } from './cases/undisturbed.js';
import { describeOnNodes } from './on-nodes.js';

await describeOnNodes('runs on real nodes', [
  undisturbedCases,
  overlayCases,
  doorCases,
  startCases,
]);
