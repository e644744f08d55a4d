import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { samplesOf } from '../../shared/plan/samples.js';
import { leavesOf, shareOf } from '../../shared/plan/reduction.js';
import { chooseCut } from '../../worker/data/patch.js';

const orders = fc.record({
  seed: fc.nat(0xffff_ffff),
  samples: fc.integer({ min: 1, max: 90 }),
  microShards: fc.integer({ min: 1, max: 7 }),
  microShardSize: fc.integer({ min: 1, max: 6 }),
});

test('over the ranks of any world, every sample comes once an epoch', () => {
  fc.assert(
    fc.property(orders, fc.integer({ min: 1, max: 7 }), (order, world) => {
      const worldSize = Math.min(world, order.microShards);
      const batch = order.microShards * order.microShardSize;
      const steps = Math.ceil((2 * order.samples) / batch);
      const times = new Map<string, number>();
      for (let step = 0; step < steps; step++)
        for (let rank = 0; rank < worldSize; rank++)
          for (const leaf of leavesOf(shareOf(rank, worldSize, order.microShards)))
            for (const { sample, epoch } of samplesOf(order, step, leaf)) {
              const name = `${epoch}/${sample}`;
              times.set(name, (times.get(name) ?? 0) + 1);
            }
      for (let epoch = 0; epoch < 2; epoch++)
        for (let sample = 0; sample < order.samples; sample++)
          assert.equal(times.get(`${epoch}/${sample}`), 1, `sample ${sample} of epoch ${epoch}`);
    }),
    { numRuns: 60 },
  );
});

test('a cut lies inside the picture, and every place and both sides come up', () => {
  const seen = { x: new Set<number>(), y: new Set<number>(), flipped: new Set<boolean>() };
  const size = { width: 21, height: 19 };
  for (let epoch = 0; epoch < 200; epoch++) {
    const cut = chooseCut({ seed: 5, epoch, sample: epoch % 7 }, size, 16, true);
    assert.ok(cut.x >= 0 && cut.x + 16 <= size.width && cut.y >= 0 && cut.y + 16 <= size.height);
    seen.x.add(cut.x);
    seen.y.add(cut.y);
    seen.flipped.add(cut.flipped);
    assert.equal(chooseCut({ seed: 5, epoch, sample: 1 }, size, 16, false).flipped, false);
  }
  assert.deepEqual([seen.x.size, seen.y.size, seen.flipped.size], [6, 4, 2]);
});
