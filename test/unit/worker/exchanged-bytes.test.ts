// What a spec says of the exchange: what a new run pins, what an old record means, and the bytes.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { exchangeOf, pinExchange, withChoice } from '../../../shared/spec/exchange.js';
import { loadPreset } from '../../../shared/spec/load.js';
import type { RunSpec } from '../../../shared/spec/schema.js';
import { createSrganTask } from '../../../task/srgan/task.js';
import { exchangeAfter, stepExchanges } from '../../../worker/training/exchanged-bytes.js';
import { createStepPlans, isFactored } from '../../../worker/training/step-plan.js';

const { exchange: _, ...old } = loadPreset('paper');
const isFactoredIn = (spec: RunSpec): boolean =>
  isFactored(createStepPlans(createSrganTask(spec), spec));

test('a new run factors unless it says not to; a record without the key goes on summing', () => {
  assert.deepEqual(exchangeOf(old), { factored: 'never', precision: 'float32' });
  assert.equal(isFactoredIn(old), false);
  assert.equal(isFactoredIn(pinExchange(old)), true);
  const never: RunSpec = { ...old, exchange: { factored: 'never' } };
  assert.deepEqual(pinExchange(never), never);
  const { engine } = old;
  for (const other of [
    { ...engine, name: 'tensorflow-eager' as const },
    { ...engine, mixed: true },
  ])
    assert.equal(isFactoredIn(pinExchange({ ...old, engine: other })), false);
});

test('a spec that says nothing chooses what the run pinned, old or new', () => {
  const choice = (given: RunSpec, run: RunSpec) => withChoice(given, run).exchange;
  assert.deepEqual(choice(old, pinExchange(old)), { factored: 'auto', precision: 'float32' });
  assert.deepEqual(choice(old, old), { factored: 'never', precision: 'float32' });
  const never: RunSpec = { ...old, exchange: { factored: 'never' } };
  assert.deepEqual(choice(never, pinExchange(old)), choice(old, old));
});

test('the paper exchanges a fourth in float32, an eighth in bfloat16', () => {
  const step = stepExchanges(pinExchange(old)).find(({ phase }) => phase === 'srgan')!;
  assert.deepEqual(step.factored, ['discriminator/hidden/weights']);
  // 4 micro-shards of 8 rows, of 18432 and 1024 floats.
  assert.equal(step.factor_bytes, 4 * 8 * (18_432 + 1024) * 4);
  const weights = 18_432 * 1024 * 4;
  const padding = step.bytes - step.factor_bytes - (step.summed_bytes - weights);
  assert.ok(Math.abs(padding) < 128, `${padding}`);
  const narrow = stepExchanges(pinExchange({ ...old, exchange: { precision: 'bfloat16' } }))[1];
  assert.ok(Math.abs(narrow.bytes / step.bytes - 0.5) < 0.01);
});

test('the exchange of a run is that of the phase it is in, as its record says', () => {
  const [first, second] = old.phases;
  const at = (spec: RunSpec, step: number) => exchangeAfter(spec, step).phase;
  assert.equal(at(old, first.steps - 1), first.name);
  assert.equal(at(old, first.steps), second?.name);
  assert.equal(at(old, 1e9), old.phases.at(-1)?.name);
  assert.deepEqual(exchangeAfter(old, first.steps).factored, []);
});
