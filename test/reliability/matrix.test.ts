// The short matrix of faults on real processes, with one seed: every run ends with the bytes of an
// undisturbed one, and goes on in time. `npm run reliability` plays all cases; workers that are
// frozen, half open or have a bit flipped are in chaos.test.ts.

import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { skipWithout } from '../support/servers.js';
import { coordinatorCases } from './coordinator-cases.js';
import { nameOf, playCase } from './fault-case.js';
import { membershipCases } from './membership-cases.js';
import { describeOutcomes } from './fault-case.js';
import { openStage, type Stage } from '../support/watched-run.js';
import { storeCases } from './store-cases.js';
import { workerCases } from './worker-cases.js';

const seed = 1;
let stage: Stage;

before(async () => {
  stage = await openStage(400);
});
after(() => stage.close());

for (const [name, cases] of Object.entries({
  'faults of a worker': workerCases,
  'changes of the world, and faults at once': membershipCases,
  'faults of the coordinator': coordinatorCases,
  'faults of the stores and of NATS': storeCases,
}))
  describe(name, () => {
    for (const one of cases.filter(({ isShort }) => isShort)) {
      const skip = one.needs === undefined ? false : skipWithout(one.needs);
      it(nameOf(one), { skip }, async (t) => {
        const { done, outcomes, failure } = await playCase(one, stage, seed);
        t.diagnostic(`seed ${seed}: ${done}; ${describeOutcomes(outcomes)}`);
        assert.equal(failure, undefined, failure);
      });
    }
  });
