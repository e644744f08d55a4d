// Runs that nothing happens to: launched, waited for, and asked about.

import assert from 'node:assert/strict';
import { it } from 'node:test';
import { launchedRun, reachedBy } from '../launched-run.js';
import { untilSeen } from '../cluster.js';
import type { CaseContext } from '../context.js';

/** A coordinator that only waits for the lease to run out takes 15 s. */
const leavesMs = 12_000;

/** Cases of runs that nothing disturbs. */
export function undisturbedCases({ cluster, files }: CaseContext): void {
  it('a run ends in the bytes of the local one, and both coordinators with it', async () => {
    const steps = 6;
    const run = launchedRun(cluster(), 'short', await files().path(steps), 3);
    const { lines } = await run.launch();
    const haveLeft = async (): Promise<boolean> =>
      (await run.pods('coordinator')).every(
        ({ status }) => status?.containerStatuses?.[0]?.state?.terminated !== undefined,
      );
    await untilSeen(haveLeft, 'the coordinator that stood by has left too', leavesMs);
    // It took nothing over.
    const { lines: status } = await run.command('status', run.url, '--json');
    assert.equal(status[0]?.['stage'], 'finished');
    assert.equal(status[0]?.['term'], 1);
    assert.deepEqual(reachedBy(lines), await files().trainedHere(steps));
    await run.command('cancel', run.url);
  });
}
