// The short matrix, as tests: the cases that `npm test` plays on every machine, with one seed.

import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { skipWithout } from '../support/servers.js';
import { nameOf, playCase, type FaultCase } from './fault-case.js';
import { describeOutcomes } from './outcome-words.js';
import { openStage, type Stage } from './stage.js';

const seed = 1;

/** A test for each short case; `steps` are those of the longest run. */
export function testCases(
  name: string,
  cases: readonly FaultCase[],
  { steps }: { readonly steps: number },
): void {
  describe(name, () => {
    let stage: Stage;
    before(async () => {
      stage = await openStage(steps);
    });
    after(() => stage.close());
    for (const one of cases.filter(({ isShort }) => isShort)) {
      const skip = one.needs === undefined ? false : skipWithout(one.needs);
      it(nameOf(one), { skip }, async (t) => {
        const { done, outcomes, failure } = await playCase(one, stage, seed);
        t.diagnostic(`seed ${seed}: ${done}; ${describeOutcomes(outcomes)}`);
        assert.equal(failure, undefined, failure);
      });
    }
  });
}
