// What each case of the real nodes is given: the cluster and the files, once they are there; and
// how it says what its parts took.

import type { TestContext } from 'node:test';
import type { NodeCluster } from './cluster.js';
import type { RunFiles } from './launched-run.js';

/** Functions, because cases are declared before the cluster is up. */
export interface CaseContext {
  cluster(): NodeCluster;
  files(): RunFiles;
}

/** Cases of one cluster that run one after the other, or `sideBySide` of them at a time. */
export interface CaseGroup {
  readonly sideBySide?: number;
  readonly cases: readonly ((context: CaseContext) => void)[];
}

/** Called after each part of a case, it prints how long that took. */
export function createTimeline(test: TestContext): (part: string) => void {
  let last = performance.now();
  return (part) => {
    const now = performance.now();
    test.diagnostic(`${Math.round((now - last) / 1000)} s: ${part}`);
    last = now;
  };
}
