// How many lanes a worker has that was not told.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { usualLanes } from '../../../cli/local/lanes.js';

test('a lane more for every four cores that compute leaves free, four at most', () => {
  assert.deepEqual(
    [1, 2, 4, 5, 9, 13, 64].map((cores) => usualLanes(0, cores, 1)),
    [1, 1, 1, 2, 3, 4, 4],
  );
  assert.equal(usualLanes(0, 16, 16), 1);
});

test('a worker whose port was chosen takes that one alone', () => {
  assert.equal(usualLanes(7401, 64, 1), 1);
});
