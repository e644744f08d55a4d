// Simulated runs by seed: whatever happens to them, nothing forbidden does, and once all is
// healed the run ends with the reference's state. `npm run sim` goes on where this stops. And the
// oracles see what they are there for: each planted bug is caught within a few seeds.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { canaries } from './canaries.js';
import { faultKinds } from './faults.js';
import { describeFailure, runSeed, runSeeds } from './simulation.js';

const seeds = 320;

test(`${seeds} seeds, of which none may fail`, (t) => {
  const campaign = runSeeds(1, (count) => count >= seeds);
  for (const failure of campaign.failures) assert.fail(describeFailure(failure));
  assert.equal(campaign.seeds, seeds);
  t.diagnostic(`${campaign.events} events, ${Math.round(campaign.simulatedMs / 60_000)} minutes`);
  const missing = Object.keys(faultKinds).filter((kind) => !campaign.coverage.of(`fault ${kind}`));
  assert.deepEqual(missing, [], 'faults that no seed has drawn');
  for (const decision of ['running -> halting', 'halting -> running', 'halting -> finishing'])
    assert.ok(campaign.coverage.of(`coordinator ${decision}`) > 50, decision);
});

test('the same seed gives the same trace, and another one another', () => {
  const sums = [3, 7, 11, 19, 27].map((seed) => [runSeed(seed).sha256, runSeed(seed).sha256]);
  for (const [first, second] of sums) assert.equal(first, second);
  assert.equal(new Set(sums.map(([first]) => first)).size, sums.length);
});

const mostSeeds = 60;

for (const { bug, caughtBy, plant, options } of canaries)
  test(`${bug}: caught`, (t) => {
    for (let seed = 1; seed <= mostSeeds; seed++) {
      const { failure } = runSeed(seed, { ...options, sabotage: plant() });
      if (failure === undefined) continue;
      t.diagnostic(`seed ${seed}: ${failure.message.slice(0, 160)}`);
      assert.ok(caughtBy.includes(failure.oracle), failure.message);
      return;
    }
    assert.fail(`not caught within ${mostSeeds} seeds`);
  });
