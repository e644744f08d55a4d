// Runs that nothing happens to: launched, waited for, and asked about.

import assert from 'node:assert/strict';
import { it } from 'node:test';
import { launchedRun } from '../launched-run.js';
import type { CaseContext } from '../context.js';

/** Cases of runs that nothing disturbs. */
export function undisturbedCases({ cluster, files }: CaseContext): void {
  it('a run ends in the bytes of the local one', async () => {
    const steps = 3;
    const run = launchedRun(cluster(), 'short', await files().path(steps), 3);
    const { lines } = await run.launch();
    const last = lines.at(-1);
    assert.equal(last?.['step'], steps + 3);
    assert.equal(last?.['sha256'], await files().trainedHere(steps));
    await run.command('cancel', run.url);
  });
}
