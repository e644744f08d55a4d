// Whole training steps on the engine xla against the embedded one; and how far bfloat16 is
// from float32.

import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { createLayout, sliceViews } from '../../shared/layout.js';
import { createEngine } from '../../worker/engine/create-engine.js';
import type { Engine } from '../../worker/engine/engine.js';
import { assertClose, runTraced, type NamedArrays } from '../support/engine/graph-parity.js';
import { engineSpecs, stepOf } from '../support/engine/srgan-specs.js';
import { distance, pick, testSteps } from '../support/engine/step-parity.js';
import { skipWithoutXla } from '../support/servers.js';

describe('a training step on the engine xla', { skip: skipWithoutXla }, () => {
  let [engine, onnx]: Engine[] = [];
  before(async () => {
    engine = await createEngine('xla', { threads: 1 });
    onnx = await createEngine('onnx', { threads: 1 });
  });

  after(() => engine.close());

  testSteps(() => ({ engine, onnx }), { hasEarly: true });

  // Gradients of single weights are small differences of large sums, so theirs is no useful bound:
  // what counts is where the whole gradient of a network points, and what the losses are.
  for (const [name, spec] of engineSpecs.slice(0, 1))
    it(`has much the same gradient and losses in bfloat16: ${name}`, async () => {
      const narrow = await createEngine('xla', { threads: 1, precision: 'bfloat16' });
      const { inputs, run, values } = stepOf(spec);
      const expected = await runTraced(onnx, inputs, run, values);
      const actual = await runTraced(narrow, inputs, run, values);
      await narrow.close();
      for (const network of ['generator', 'discriminator']) {
        const names = Object.keys(expected).filter(
          (output) => output in values && output.startsWith(`${network}/`),
        );
        const apart = distance(joined(actual, names), joined(expected, names));
        assert.ok(apart > 1e-4 && apart < 0.25, `${network}: ${apart}`);
      }
      const losses = Object.keys(expected).filter((output) => output.startsWith('loss/'));
      assert.ok(losses.length >= 3, losses.join());
      assertClose(pick(actual, losses), pick(expected, losses), 1e-2);
    });
});

/** The arrays one behind the other. */
function joined(arrays: NamedArrays, names: readonly string[]): Float32Array {
  const parts = pick(arrays, names);
  const layout = createLayout(names.map((name) => ({ name, shape: [parts[name].length] })));
  const flat = new Float32Array(layout.size);
  for (const [name, view] of Object.entries(sliceViews(layout, flat))) view.set(parts[name]);
  return flat;
}
