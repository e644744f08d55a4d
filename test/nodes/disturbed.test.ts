// Runs on real nodes whose pods and nodes go on the way, or whose GPUs come late, end in the same
// bytes. A quarter of an hour: `npm run test:k8s` runs them, `.ci/run` does not.

import { gpuCases } from './cases/gpus.js';
import { lostNodeCases } from './cases/lost-nodes.js';
import { podCases } from './cases/pods.js';
import { describeOnNodes } from './on-nodes.js';

await describeOnNodes('runs on real nodes that are disturbed', [gpuCases, podCases, lostNodeCases]);
