// The exchange bench in small, in its real processes: what it reports is verified bit by bit.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { benchExchange } from '../../../bench/exchange.js';

const cases = [
  { precision: 'float32', lanes: 1, link: 'socket' },
  { precision: 'float32', lanes: 2, link: 'tls' },
  { precision: 'bfloat16', lanes: 1, link: 'tcp' },
  { precision: 'bfloat16', lanes: 2, link: 'socket' },
] as const;

for (const { precision, lanes, link } of cases)
  test(`workers of the bench have the bits of plain loops: ${precision}, ${lanes}, ${link}`, async () => {
    const counts = { workers: 3, mib: 2.5, steps: 2, warmUp: 2 };
    const result = await benchExchange({ ...counts, precision, lanes, link });
    assert.equal(result.verified, true);
    // Values count as 4 bytes each: four thirds of the vector, by the time of a step.
    const busbw = ((2.5 / result.step_s) * 4) / 3;
    assert.ok(Math.abs(result.busbw_mib_s / busbw - 1) < 0.1, `${result.busbw_mib_s}, ${busbw}`);
  });
