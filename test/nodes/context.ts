// What each case of the real nodes is given: the cluster and the files, once they are there.

import type { NodeCluster } from './cluster.js';
import type { RunFiles } from './launched-run.js';

/** Functions, because cases are declared before the cluster is up. */
export interface CaseContext {
  cluster(): NodeCluster;
  files(): RunFiles;
}
