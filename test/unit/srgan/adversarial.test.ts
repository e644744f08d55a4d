// What the networks pay each other, against the formulas of the papers written out with logarithms.

import * as tf from '@tensorflow/tfjs-core';
import assert from 'node:assert/strict';
import { before, test } from 'node:test';
import { adversarialLoss, discriminatorLoss, meanScores } from '../../../task/srgan/adversarial.js';
import type { PhaseSpec } from '../../../shared/spec/schema.js';
import { trace } from '../../../trace/trace.js';
import { loadReferenceBackend } from '../../support/engine/reference-backend.js';
import { stepOf, tinySpec } from '../../support/engine/srgan-specs.js';

before(loadReferenceBackend);

type Objective = PhaseSpec['loss']['objective'];

const real = [1.5, -0.5, 3];
const fake = [-2, 0.25, -0.75];
const verdicts = () => ({
  real: tf.tensor2d(real, [real.length, 1]),
  fake: tf.tensor2d(fake, [fake.length, 1]),
});

const meanOf = (values: readonly number[]) =>
  values.reduce((sum, value) => sum + value, 0) / values.length;
const probability = (logit: number) => 1 / (1 + Math.exp(-logit));
/** Mean cross entropy of probabilities with a label. */
const entropy = (probabilities: readonly number[], label: number) =>
  meanOf(probabilities.map((p) => -label * Math.log(p) - (1 - label) * Math.log(1 - p)));
const squares = (probabilities: readonly number[], label: number) =>
  meanOf(probabilities.map((p) => (p - label) ** 2));

const [believed, deceived] = [real.map(probability), fake.map(probability)];
const realer = real.map((logit) => probability(logit - meanOf(fake)));
const faker = fake.map((logit) => probability(logit - meanOf(real)));

const near = (actual: tf.Scalar, expected: number) =>
  assert.ok(
    Math.abs(actual.dataSync()[0] - expected) < 1e-5,
    `${actual.dataSync()[0]}, ${expected}`,
  );

const formulas: readonly [Objective, number, (label: number) => number][] = [
  ['bce', entropy(deceived, 1), (label) => entropy(believed, label) + entropy(deceived, 0)],
  ['lsgan', squares(deceived, 1), (label) => squares(believed, label) + squares(deceived, 0)],
  [
    'relativistic',
    entropy(faker, 1) + entropy(realer, 0),
    (label) => entropy(realer, label) + entropy(faker, 0),
  ],
];

for (const [objective, ofGenerator, ofDiscriminator] of formulas)
  test(`${objective} is its formula, with a smooth label too`, () => {
    near(adversarialLoss(objective, verdicts()), ofGenerator);
    for (const label of [1, 0.9])
      near(discriminatorLoss(objective, verdicts(), label), ofDiscriminator(label));
  });

test('scores are what the objective judges by', () => {
  for (const objective of ['bce', 'lsgan'] as const) {
    near(meanScores(objective, verdicts()).real, meanOf(believed));
    near(meanScores(objective, verdicts()).fake, meanOf(deceived));
  }
  near(meanScores('relativistic', verdicts()).real, meanOf(realer));
  near(meanScores('relativistic', verdicts()).fake, meanOf(faker));
});

/** Kernels of the traced adversarial step. */
function kernelsOf(loss: Partial<PhaseSpec['loss']>): string[] {
  const { inputs, run } = stepOf(tinySpec({ loss }));
  return trace(inputs, run).nodes.map(({ kernel }) => kernel);
}

test('a relativistic step has the convolutions and products of any other', () => {
  const heavy = (kernels: string[]) => kernels.filter((kernel) => /Conv|MatMul|Norm/.test(kernel));
  const plain = heavy(kernelsOf({})).sort();
  assert.deepEqual(heavy(kernelsOf({ objective: 'relativistic' })).sort(), plain);
});

test('a label of 1 is the step without one, kernel by kernel', () => {
  for (const objective of ['bce', 'lsgan', 'relativistic'] as const) {
    const plain = kernelsOf({ objective });
    assert.deepEqual(kernelsOf({ objective, realLabel: 1 }), plain);
    const smooth = stepOf(tinySpec({ loss: { objective, realLabel: 0.9 } }));
    assert.ok(trace(smooth.inputs, smooth.run).nodes.length >= plain.length);
  }
});
