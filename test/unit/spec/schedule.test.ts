// The plan of a phase against tables: learning rates and who is trained.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { loadPreset } from '../../../shared/spec/load.js';
import {
  learningRateAt,
  partAt,
  partsOfPhase,
  stepInPhase,
} from '../../../shared/spec/schedule.js';
import type { PhaseSpec } from '../../../shared/spec/schema.js';

const demo = loadPreset('demo');

function phaseWith(rates: Partial<PhaseSpec['learningRate']>): PhaseSpec {
  const learningRate = { generator: 8, discriminator: 0.5, ...rates };
  return { ...demo.phases[0], steps: 8, learningRate };
}

const cases: [string, Partial<PhaseSpec['learningRate']>, number[]][] = [
  ['constant', {}, [8, 8, 8, 8, 8, 8, 8, 8]],
  ['a warm-up', { warmUp: 4 }, [2, 4, 6, 8, 8, 8, 8, 8]],
  ['a warm-up of one step', { warmUp: 1 }, [8, 8, 8, 8, 8, 8, 8, 8]],
  [
    'factors',
    {
      steps: [
        { at: 2, factor: 0.5 },
        { at: 6, factor: 0.25 },
      ],
    },
    [8, 8, 4, 4, 4, 4, 1, 1],
  ],
  ['both', { warmUp: 4, steps: [{ at: 1, factor: 0.5 }] }, [2, 2, 3, 4, 4, 4, 4, 4]],
];
for (const [name, rates, expected] of cases)
  test(`learning rates: ${name}`, () => {
    const phase = phaseWith(rates);
    const of = (network: 'generator' | 'discriminator') =>
      expected.map((_, i) => learningRateAt(phase, network, i));
    assert.deepEqual(of('generator'), expected);
    assert.deepEqual(
      of('discriminator'),
      expected.map((rate) => rate / 16),
    );
  });

test('the generator takes part in every k-th step of its phase', () => {
  const phase = { ...phaseWith({}), discriminatorSteps: 3 };
  const parts = Array.from({ length: 7 }, (_, i) => (partAt(phase, i) === 'all' ? 'G' : '-'));
  assert.equal(parts.join(''), '--G--G-');
  assert.deepEqual([...partsOfPhase(phase)].sort(), ['all', 'discriminator']);
  assert.equal(partAt(phaseWith({}), 0), 'all');
  assert.deepEqual(partsOfPhase(phaseWith({})), ['all']);
});

test('steps are counted from 0 in each phase', () => {
  const [first, second] = demo.phases;
  const numbers = [0, first.steps - 1, first.steps, first.steps + second.steps];
  assert.deepEqual(
    numbers.map((step) => stepInPhase(demo, step)),
    [0, first.steps - 1, 0, 0],
  );
  assert.throws(() => stepInPhase(demo, 1e9), /beyond the spec's last step/);
});
