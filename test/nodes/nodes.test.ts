// Runs launched on real nodes, in containers of the real image: whatever goes on the way, they come to
// the bytes of the same training on one machine, and what can't start or must not get in says so.

import { certificateCases } from './cases/certificates.js';
import { doorCases } from './cases/doors.js';
import { gpuCases } from './cases/gpus.js';
import { lostNodeCases } from './cases/lost-nodes.js';
import { overlayCases } from './cases/overlays.js';
import { podCases } from './cases/pods.js';
import { startCases } from './cases/starts.js';
import { undisturbedCases } from './cases/undisturbed.js';
import { describeOnNodes } from './on-nodes.js';

await describeOnNodes('runs on real nodes', {
  'a run alone': { cases: [undisturbedCases] },
  // The first take longest.
  'while nodes stay': {
    sideBySide: 3,
    cases: [podCases, certificateCases, startCases, overlayCases, doorCases, gpuCases],
  },
  'while nodes go': { cases: [lostNodeCases] },
});
