import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseTrainingLine } from '../../../cli/demo/training.js';

test('lines of the training become reports, without what is not needed', () => {
  const line = '{"kind":"step","step":3,"last_step":8,"images_per_s":2.5,"metrics":{"mse":1}}';
  assert.deepEqual(parseTrainingLine(line), {
    kind: 'step',
    step: 3,
    last_step: 8,
    images_per_s: 2.5,
  });
  assert.deepEqual(parseTrainingLine('{"kind":"checkpoint","step":4,"key":"x"}'), {
    kind: 'checkpoint',
    step: 4,
  });
});

test('anything else is left alone', () => {
  const lines = [
    '',
    'starting',
    '{"kind":"step"',
    '{"kind":"step","step":-1,"last_step":8}',
    '{"kind":"weather","step":1}',
    `{"kind":"checkpoint","step":4,"x":"${'y'.repeat(70_000)}"}`,
  ];
  for (const line of lines) assert.equal(parseTrainingLine(line), undefined);
});
