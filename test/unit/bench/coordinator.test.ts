// The coordinator bench in small: its counts, not its times.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { benchCoordinator } from '../../../bench/coordinator.js';

test('fifty workers form one world, and forty-five another when five die', () => {
  const result = benchCoordinator({ workers: 50, deaths: 5, seconds: 2 });
  assert.equal(result.worlds, 2);
  assert.equal(result.forming.members, 50);
  assert.equal(result.loss?.members, 45);
  assert.equal(result.lost, 5);
  // Nobody waits for those who are known to be dead.
  assert.ok(result.loss.simulated_ms < 250, `${result.loss.simulated_ms} ms`);
  // One word at once from each that is left, and one of each stage, whoever died.
  assert.ok(result.loss.messages_in < 45 * 7, `${result.loss.messages_in} messages`);
  // A welcome, the world and the order to connect for each; then abort, world and connect.
  assert.equal(result.forming.messages_out, 3 * 50);
  assert.equal(result.loss.messages_out, 3 * 45);
  // A coordinator that takes over hears one hello from each, and asks nobody for anything.
  assert.deepEqual([result.takeover.members, result.takeover.messages_out], [50, 50]);
  // Four heartbeats each, and the step's report.
  assert.equal(result.messages_per_s, 4 * 50 + 1);
  assert.ok(result.forming.largest_kib > 1 && result.forming.largest_kib < 10);
});

test('nobody dies when that was not asked for', () => {
  const result = benchCoordinator({ workers: 2, deaths: 0, seconds: 1 });
  assert.deepEqual([result.worlds, result.lost, result.loss], [1, 0, undefined]);
});
