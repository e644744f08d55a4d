// The plans against their laws: shares cover, the tree is the same whoever folds it, and every
// sample comes exactly once an epoch.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import {
  leavesOf,
  shareOf,
  foldTree,
  subtreesInside,
  type TreeNode,
} from '../../shared/plan/reduction.js';
import {
  chunksOf,
  exchangePrecisions,
  placesOf,
  valueBytes,
} from '../../shared/plan/step-vector.js';
import { permute, samplesOf } from '../../shared/plan/samples.js';
import { chooseCut } from '../../worker/data/patch.js';

const worlds = fc
  .integer({ min: 1, max: 64 })
  .chain((leaves) =>
    fc.record({ leaves: fc.constant(leaves), ranks: fc.integer({ min: 1, max: leaves }) }),
  );

test('shares cover all items once, in order, and differ by at most one', () => {
  fc.assert(
    fc.property(worlds, ({ leaves, ranks }) => {
      const shares = Array.from({ length: ranks }, (_, rank) => shareOf(rank, ranks, leaves));
      assert.deepEqual(
        shares.flatMap(leavesOf),
        Array.from({ length: leaves }, (_, i) => i),
      );
      const sizes = shares.map(({ start, end }) => end - start);
      assert.ok(Math.max(...sizes) - Math.min(...sizes) <= 1);
    }),
  );
});

test('the tree folded from the ranks’ subtrees is the tree folded from its leaves', () => {
  fc.assert(
    fc.property(worlds, ({ leaves, ranks }) => {
      // A sum whose order shows: parentheses.
      const name = ({ start }: TreeNode): string => String(start);
      const add = (left: string, right: string): string => `(${left}+${right})`;
      const leaf = (node: TreeNode) => (node.end - node.start === 1 ? name(node) : undefined);
      const root = { start: 0, end: leaves };
      const known = new Map<string, string>();
      for (let rank = 0; rank < ranks; rank++)
        for (const node of subtreesInside(shareOf(rank, ranks, leaves), leaves))
          known.set(`${node.start}-${node.end}`, foldTree(node, leaf, add));
      const folded = foldTree(root, ({ start, end }) => known.get(`${start}-${end}`), add);
      assert.equal(folded, foldTree(root, leaf, add));
    }),
  );
});

test('a permutation is one: every sample once an epoch, and epochs differ', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 0, max: 0xffffffff }),
      fc.integer({ min: 0, max: 1000 }),
      fc.integer({ min: 1, max: 300 }),
      (seed, epoch, count) => {
        const order = Array.from({ length: count }, (_, i) => permute(seed, epoch, i, count));
        assert.equal(new Set(order).size, count);
        assert.ok(order.every((sample) => sample >= 0 && sample < count));
      },
    ),
  );
  const order = (epoch: number) => Array.from({ length: 100 }, (_, i) => permute(1, epoch, i, 100));
  assert.notDeepEqual(order(0), order(1));
});

test('the micro-shards of an epoch hold every sample exactly once, whatever their size', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 200 }),
      fc.integer({ min: 1, max: 7 }),
      fc.integer({ min: 1, max: 9 }),
      (samples, microShards, microShardSize) => {
        const order = { seed: 3, samples, microShards, microShardSize };
        const steps = Math.ceil((2 * samples) / (microShards * microShardSize)) + 1;
        const picks = Array.from({ length: steps * microShards }, (_, i) =>
          samplesOf(order, Math.floor(i / microShards), i % microShards),
        ).flat();
        for (const epoch of [0, 1]) {
          const inEpoch = picks.filter((pick) => pick.epoch === epoch).map((pick) => pick.sample);
          assert.equal(inEpoch.length, samples);
          assert.equal(new Set(inEpoch).size, samples);
        }
      },
    ),
  );
});

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

const shapes = fc.record({
  exact: fc.integer({ min: 1, max: 300_000 }),
  gradients: fc.integer({ min: 0, max: 3_000_000 }),
  factors: fc.oneof(fc.constant(0), fc.integer({ min: 1, max: 900_000 })),
});
const precision = fc.constantFrom(...exchangePrecisions);
const leafCount = fc.integer({ min: 1, max: 12 });

test('the chunks of all lanes cover every section once, in order, the exact one first', () => {
  fc.assert(
    fc.property(
      shapes,
      precision,
      leafCount,
      fc.integer({ min: 1, max: 5 }),
      (shape, precision, microShards, lanes) => {
        const places = placesOf(shape, precision, microShards);
        const all = chunksOf(shape, precision, microShards);
        const width = valueBytes[precision];
        assert.equal(places.exact.end - places.exact.start, 4 * shape.exact);
        assert.equal(places.gradients.end - places.gradients.start, width * shape.gradients);
        const sections = [places.exact, places.gradients, ...places.leaves];
        for (const { start, end } of sections) {
          assert.equal(start % 64, 0);
          const inside = [...all.sums, ...all.leaves].filter(
            (chunk) => chunk.start >= start && chunk.end <= end && chunk.end > chunk.start,
          );
          assert.equal(
            inside.reduce((at, chunk) => (chunk.start === at ? chunk.end : NaN), start),
            end,
          );
        }
        for (const { start, end, leaf } of all.leaves) {
          const block = places.leaves[leaf!];
          assert.ok(start >= block.start && end <= block.end);
        }
        const numbered = [...all.sums, ...all.leaves];
        const merged = Array.from({ length: lanes }, (_, lane) => {
          const { sums, leaves } = chunksOf(shape, precision, microShards, lane, lanes);
          return [...sums, ...leaves];
        });
        numbered.forEach((chunk, i) =>
          assert.deepEqual(merged[i % lanes][Math.floor(i / lanes)], chunk),
        );
        assert.equal(merged.flat().length, numbered.length);
      },
    ),
  );
});
