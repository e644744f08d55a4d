// Eight kills in one run, one every two seconds: the bytes of an undisturbed run. The command
// `npm run reliability` does the same with fifty.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { describeOutcomes } from './fault-case.js';
import { playKills } from './kills.js';
import { openStage } from '../support/watched-run.js';

const kills = 8;

test(`${kills} kills in one run end in the bytes of an undisturbed run`, async (t) => {
  const stage = await openStage(20);
  t.after(() => stage.close());
  const { outcomes, sha256, seconds, standstillS, steps, transcript } = await playKills(stage, {
    ...{ kills, everyS: 2, seed: 1, workers: 3 },
    onKill: (victim, outcome) => t.diagnostic(`${victim}: ${describeOutcomes([outcome])}`),
  });
  const goodput = 1 - standstillS / seconds.disturbed;
  t.diagnostic(
    `${steps} steps in ${seconds.disturbed.toFixed(1)} s; goodput ${goodput.toFixed(2)}`,
  );
  assert.equal(sha256.disturbed, sha256.undisturbed, transcript);
  assert.equal(outcomes.length, kills);
});
