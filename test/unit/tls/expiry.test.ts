// When a certificate is complained of, and how often.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createDailyNotice, endingText, endsSoon } from '../../../shared/tls/expiry.js';

const dayMs = 24 * 60 * 60 * 1000;
const endMs = Date.parse('2027-11-29T12:00:00Z');

/** Whether it is time, so many days before the end of a life of so many. */
const isDue = (life: number, left: number): boolean =>
  endsSoon({ fromMs: endMs - life * dayMs, endMs }, endMs - left * dayMs);

test('it is time two weeks before the end, or in the last quarter of a short life', () => {
  for (const [life, left, due] of [
    [400, 14.1, false],
    [400, 13.9, true],
    [400, -1, true],
    [30, 13.9, false],
    [30, 7.4, true],
    [1, 0.3, false],
    [1, 0.2, true],
  ] as const)
    assert.equal(isDue(life, left), due, `${left} of ${life} days are left`);
});

test('what is said names the file, the days that are left and what to read', () => {
  const validity = { fromMs: endMs - 400 * dayMs, endMs };
  const said = (left: number): string =>
    endingText('tls/coordinator.crt', validity, endMs - left * dayMs) ?? '';
  assert.equal(said(15), '');
  assert.match(said(13.5), /^tls\/coordinator\.crt ends in 13 days, at 2027-11-29T12:00:00/);
  assert.match(said(1.5), /ends in 1 day, /);
  assert.match(said(0.5), /ends within a day, .*docs\/security\.md/);
  assert.match(said(-0.5), /ended at 2027-11-29T12:00:00.*new connections fail/);
});

test('it is said once a day, and again at once of another certificate', () => {
  const heard: string[] = [];
  const notice = createDailyNotice((text) => heard.push(text));
  notice(undefined, endMs, 0);
  assert.deepEqual(heard, []);
  for (let ms = 0; ms < 2.5 * dayMs; ms += 5_000) notice(`${ms / dayMs}`, endMs, ms);
  assert.deepEqual(heard, ['0', '1', '2']);
  notice('another', endMs + 1, 2.5 * dayMs);
  notice('another', endMs + 1, 2.6 * dayMs);
  assert.deepEqual(heard.slice(3), ['another']);
});
