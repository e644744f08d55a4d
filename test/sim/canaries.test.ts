// The oracles see what they are there for: every planted bug is caught within a few seeds, by one
// of the oracles that should, and none of them cries where nothing was planted.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { canaries } from './canaries.js';
import { runSeed } from './cluster.js';

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
