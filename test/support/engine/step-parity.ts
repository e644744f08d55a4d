// What the training step of an engine is held to, by the embedded engine's: losses, statistics and
// every gradient, and the whole state after three updates.

import assert from 'node:assert/strict';
import { it } from 'node:test';
import { loadPreset } from '../../../shared/spec/load.js';
import type { RunSpec } from '../../../shared/spec/schema.js';
import { trace } from '../../../trace/trace.js';
import type { Engine } from '../../../worker/engine/engine.js';
import {
  assertClose,
  mapArrays,
  outputArrays,
  runTraced,
  sharedCopy,
  type NamedArrays,
} from './graph-parity.js';
import { engineSpecs, factoredSpec, stepOf } from './srgan-specs.js';
import { takeSteps } from './trained-steps.js';

/** The paper's networks as they are, on two crops. */
function wholePaper(): RunSpec {
  const spec = loadPreset('paper');
  return { ...spec, batch: { ...spec.batch, size: 2 } };
}

/** An engine, and the one it is compared with. */
interface ComparedEngines {
  readonly engine: Engine;
  readonly onnx: Engine;
}

/** The kinks of activations that an engine meets otherwise than the embedded one. */
interface Kinks {
  /** Whether the paper's first phase has some. */
  readonly hasEarly: boolean;
}

/** Registers tests of what a step gives; `engines` is asked when they run. */
export function testSteps(engines: () => ComparedEngines, { hasEarly }: Kinks): void {
  const early = [['the paper, its first phase', wholePaper(), 0] as const];
  for (const [name, spec, phase] of [...engineSpecs, ...(hasEarly ? [] : early)])
    it(`agrees with the embedded engine in every tensor: ${name}`, async () => {
      const { engine, onnx } = engines();
      const step = stepOf(spec, phase);
      const expected = await runTraced(onnx, step.inputs, step.run, step.values);
      const actual = await runTraced(engine, step.inputs, step.run, step.values);
      assertClose(actual, expected, 1e-4);
    });

  // Some of millions of activations lie so near the kink of their function that the last bit of a
  // picture decides their slope: no two engines can agree to 1e-4 there, nor an engine with itself.
  // So they may differ by what that bit makes of it.
  for (const [name, phase] of [...(hasEarly ? [['first', 0] as const] : []), ['last', -1] as const])
    it(`agrees as far as the embedded one with itself: the paper, its ${name} phase`, async () => {
      const { engine, onnx } = engines();
      const step = stepOf(wholePaper(), phase);
      const expected = await runTraced(onnx, step.inputs, step.run, step.values);
      const actual = await runTraced(engine, step.inputs, step.run, step.values);
      const others = mapArrays(step.values, nudged);
      const nearby = await runTraced(onnx, step.inputs, step.run, others);
      const [own, least] = [worst(actual, expected), worst(nearby, expected)];
      assert.ok(own < 3 * least && own < 0.01, `${own}, ${least}`);
      const numbers = Object.keys(expected).filter((key) => /^(loss|score)\//.test(key));
      assert.ok(numbers.length >= (phase === 0 ? 2 : 4), numbers.join());
      assertClose(pick(actual, numbers), pick(expected, numbers), 1e-4);
    });

  it('gives the same bytes again, and takes and fills views of shared memory', async () => {
    const { engine } = engines();
    const step = stepOf(engineSpecs[0][1]);
    const own = await runTraced(engine, step.inputs, step.run, step.values);
    const compiled = await engine.compile(step.inputs, step.run);
    const again = outputArrays(trace(step.inputs, step.run));
    await compiled.run(step.values, again);
    assert.deepEqual(again, own);
    const feeds = mapArrays(step.values, sharedCopy);
    const fetches = mapArrays(own, ({ length }) => sharedCopy(new Float32Array(length)));
    await compiled.run(feeds, fetches);
    await compiled.close();
    assert.deepEqual(
      mapArrays(fetches, (values) => values.slice()),
      own,
    );
  });
}

/** Registers tests of the state after updates, wherever the engine keeps it. */
export function testUpdates(engines: () => ComparedEngines, { hasEarly }: Kinks): void {
  for (const [name, spec] of engineSpecs)
    it(`agrees after three updates of Adam: ${name}`, async () => {
      const { engine, onnx } = engines();
      const { values } = stepOf(spec);
      const expected = await takeSteps(onnx, spec, values, 3);
      const actual = await takeSteps(engine, spec, values, 3);
      for (const what of ['outputs', 'parameters', 'vectors'] as const)
        assertClose(actual[what], expected[what], 1e-4);
    });

  it('agrees when a gradient is multiplied from its factors', async () => {
    const { engine, onnx } = engines();
    const { values } = stepOf(factoredSpec);
    const expected = await takeSteps(onnx, engineSpecs[0][1], values, 3);
    const actual = await takeSteps(engine, factoredSpec, values, 3);
    const weights = 'gradient/discriminator/hidden/weights';
    assert.ok(weights in expected.outputs && !(weights in actual.outputs));
    assert.ok(`${weights}/left` in actual.outputs && `${weights}/right` in actual.outputs);
    for (const what of ['parameters', 'vectors'] as const)
      assertClose(actual[what], expected[what], 1e-4);
  });

  // An update of Adam moves a weight by the learning rate one way or the other, also where its
  // gradient is what rounding leaves.
  it('agrees as far after an update: the paper, its first phase', async () => {
    const { engine, onnx } = engines();
    const spec = wholePaper();
    const { values } = stepOf(spec, 0);
    const others = { ...values, lr: nudged(values['lr']), hr: nudged(values['hr']) };
    const expected = await takeSteps(onnx, spec, values, 1, 0);
    const actual = await takeSteps(engine, spec, values, 1, 0);
    const nearby = await takeSteps(onnx, spec, others, 1, 0);
    if (!hasEarly) assertClose(actual.vectors, expected.vectors, 1e-5);
    for (const what of ['outputs', 'parameters', 'vectors'] as const) {
      const [own, least] = [actual, nearby].map((each) => worst(each[what], expected[what]));
      assert.ok(own < (hasEarly ? 3 : 1) * least, `${what}: ${own}, ${least}`);
    }
  });
}

/** The values with the last bit changed, up or down in turn. */
function nudged(values: Float32Array): Float32Array {
  return values.map((value, i) => value * (1 + (i % 2 === 0 ? 1.2e-7 : -1.2e-7)));
}

/** The difference's length over the expected vector's; the length alone where that one is 0. */
export function distance(actual: Float32Array, expected: Float32Array): number {
  const length = (values: Float32Array) => Math.sqrt(values.reduce((sum, x) => sum + x * x, 0));
  return length(actual.map((x, i) => x - expected[i])) / (length(expected) || 1);
}

/** The largest distance of a tensor. */
function worst(actual: NamedArrays, expected: NamedArrays): number {
  return Math.max(
    ...Object.entries(expected).map(([name, values]) => distance(actual[name], values)),
  );
}

/** The arrays of these names. */
export function pick(arrays: NamedArrays, names: readonly string[]): NamedArrays {
  return Object.fromEntries(names.map((name) => [name, arrays[name]]));
}
