import fc from 'fast-check';
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { cutSide } from '../../../inference/tiles.js';

test('cores cover the side once, none longer than allowed, each with its margin', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 3000 }),
      fc.integer({ min: 16, max: 300 }),
      fc.integer({ min: 1, max: 60 }),
      (length, tile, margin) => {
        const tiles = cutSide(length, tile, margin);
        let covered = 0;
        for (const { core, read } of tiles) {
          assert.equal(core.start, covered);
          assert.ok(core.end > core.start);
          assert.ok(tiles.length === 1 || core.end - core.start <= tile);
          assert.equal(read.start, Math.max(0, core.start - margin));
          assert.equal(read.end, Math.min(length, core.end + margin));
          covered = core.end;
        }
        assert.equal(covered, length);
      },
    ),
  );
});

test('a side that fits with its margins is not cut', () => {
  assert.equal(cutSide(272, 192, 40).length, 1);
  assert.equal(cutSide(273, 192, 40).length, 2);
});
