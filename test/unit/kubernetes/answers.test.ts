// Which answers of an API server are worth another try, and after how long.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isLost, retryDelayMs } from '../../../cli/kubernetes/client/retries.js';
import { isLater, stampedLine } from '../../../cli/kubernetes/client/streams.js';
import { ClusterError, refusalOf } from '../../../shared/kubernetes/refusal.js';

const limits = { attempts: 5, firstMs: 100, longestMs: 300 };
const refusal = (status: number, reason = '', retryAfterS?: number) =>
  new ClusterError(status, reason, 'x', [], retryAfterS);
const lost = (code: string) => Object.assign(new Error('x'), { code });

test('what passes is tried again, what is refused is not', () => {
  const cases: [unknown, number | undefined][] = [
    [refusal(429), 100],
    [refusal(503), 100],
    [refusal(500, 'InternalError'), 100],
    [refusal(504, 'Timeout'), 100],
    [refusal(500), undefined],
    [refusal(400, 'BadRequest'), undefined],
    [refusal(401, 'Unauthorized'), undefined],
    [refusal(403, 'Forbidden'), undefined],
    [refusal(404, 'NotFound'), undefined],
    [refusal(409, 'Conflict'), undefined],
    [refusal(410, 'Expired'), undefined],
    [refusal(422, 'Invalid'), undefined],
    [lost('ECONNRESET'), 100],
    [lost('ECONNREFUSED'), 100],
    [new Error('socket hang up'), 100],
    [lost('CERT_HAS_EXPIRED'), undefined],
    [new SyntaxError('Unexpected token'), undefined],
    ['x', undefined],
  ];
  for (const [error, expected] of cases)
    assert.equal(retryDelayMs(error, 1, limits), expected, String(error));
});

test('the waits double up to a limit, and end with the attempts', () => {
  const waits = [1, 2, 3, 4, 5].map((attempt) => retryDelayMs(refusal(503), attempt, limits));
  assert.deepEqual(waits, [100, 200, 300, 300, undefined]);
});

test('a server that asks for more is waited for, within reason', () => {
  assert.equal(retryDelayMs(refusal(429, '', 2), 1, limits), 2000);
  assert.equal(retryDelayMs(refusal(429, '', 0.01), 2, limits), 200);
  assert.equal(retryDelayMs(refusal(429, '', 86_400), 1, limits), 60_000);
});

test('a refusal is read from a Status object, its header, or a page of a proxy', () => {
  const details = { retryAfterSeconds: 3, causes: [{ reason: 'R', message: 'M', field: 'F' }, 7] };
  const body = JSON.stringify({ kind: 'Status', reason: 'Invalid', message: 'bad', details });
  const refused = refusalOf(422, {}, body);
  assert.deepEqual(
    [refused.reason, refused.message, refused.retryAfterS],
    ['Invalid', 'HTTP 422: bad', 3],
  );
  assert.deepEqual(refused.causes[0], { reason: 'R', message: 'M', field: 'F' });
  assert.equal(refusalOf(429, { 'retry-after': '5' }, body).retryAfterS, 5);
  assert.equal(
    refusalOf(429, { 'retry-after': 'Wed, 21 Oct 2026 07:28:00 GMT' }, '').retryAfterS,
    undefined,
  );
  assert.equal(refusalOf(502, {}, '<html>bad gateway').message, 'HTTP 502: <html>bad gateway');
  assert.equal(isLost(refused), false);
});

test('lines of a log are compared by the time of the server, to the nanosecond', () => {
  assert.deepEqual(stampedLine('2026-11-25T12:00:00.123456789Z {"a": 1}'), {
    stamp: '2026-11-25T12:00:00.123456789Z',
    text: '{"a": 1}',
  });
  assert.deepEqual(stampedLine('2026-11-25T12:00:00+01:00 x').text, 'x');
  assert.deepEqual(stampedLine('no time'), { stamp: undefined, text: 'no time' });
  const order = ['12:00:00Z', '12:00:00.000000001Z', '12:00:00.1Z', '12:00:00.12Z', '12:00:01Z'];
  const stamps = order.map((time) => `2026-11-25T${time}`);
  for (const [i, a] of stamps.entries())
    for (const [j, b] of stamps.entries()) assert.equal(isLater(a, b), i > j, `${a} ${b}`);
});
