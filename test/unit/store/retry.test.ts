import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import {
  isTransient,
  nextWaitMs,
  patientRetryPolicy,
  reasonOf,
  withRetries,
  type RetryClock,
  type RetryNotice,
} from '../../../shared/store/retry.js';

const policy = { attempts: 5, baseMs: 100, capMs: 500, totalMs: 10_000 };
const status = (httpStatusCode: number, name = 'X') => ({ name, $metadata: { httpStatusCode } });
const code = (value: string) => Object.assign(new Error(value), { code: value });

/** A clock that jumps, and always draws `random`. */
function fakeClock(random: number): RetryClock & { waits: number[]; time: number } {
  const clock = {
    waits: [] as number[],
    time: 0,
    now: () => clock.time,
    random: () => random,
    wait: async (ms: number) => {
      clock.waits.push(ms);
      clock.time += ms;
    },
  };
  return clock;
}

describe('which failures are tried again', () => {
  const cases: [string, unknown, boolean][] = [
    ['500', status(500), true],
    ['503', status(503, 'SlowDown'), true],
    ['501', status(501, 'NotImplemented'), false],
    ['429', status(429), true],
    ['408', status(408), true],
    ['a timeout told as 400', status(400, 'RequestTimeout'), true],
    ['two conditional writes at once', status(409, 'ConditionalRequestConflict'), true],
    ['400', status(400, 'InvalidRequest'), false],
    ['403', status(403, 'AccessDenied'), false],
    ['404', status(404, 'NoSuchKey'), false],
    ['412', status(412, 'PreconditionFailed'), false],
    ['a 502 page of HTML', { name: 'SyntaxError', $response: { statusCode: 502 } }, true],
    ['a reset', code('ECONNRESET'), true],
    ['a refused connection', code('ECONNREFUSED'), true],
    ['a name server that is busy', code('EAI_AGAIN'), true],
    ['a cut body', { code: 'ECONNRESET', $metadata: { httpStatusCode: 200 } }, true],
    ['a timeout', { name: 'TimeoutError' }, true],
    ['no credentials', { name: 'CredentialsProviderError' }, false],
    ['a bug', new TypeError('x is not a function'), false],
    ['a text', 'oh', false],
    ['nothing', undefined, false],
  ];
  for (const [name, error, expected] of cases)
    it(`${name}: ${expected ? 'again' : 'no'}`, () => assert.equal(isTransient(error), expected));

  it('are named without their message', () => {
    assert.equal(reasonOf(status(503, 'SlowDown')), 'SlowDown (HTTP 503)');
    assert.equal(reasonOf(code('ECONNRESET')), 'ECONNRESET');
    assert.equal(reasonOf(undefined), 'failure');
  });
});

describe('the wait before the next try', () => {
  it('is full jitter below a ceiling that doubles up to the cap', () => {
    const waits = [1, 2, 3, 4].map((tries) => nextWaitMs(policy, tries, 0, 0.999_999));
    assert.deepEqual(waits, [99, 199, 399, 499]);
    assert.equal(nextWaitMs(policy, 1, 0, 0), 0);
    assert.equal(nextWaitMs(policy, 5, 0, 0.5), undefined);
    assert.equal(nextWaitMs(policy, 1, 9_990, 0.999), undefined);
  });

  it('never exceeds the policy, whatever is drawn', () => {
    const draw = fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true });
    fc.assert(
      fc.property(fc.nat(10), fc.nat(20_000), draw, (tries, elapsed, random) => {
        const wait = nextWaitMs(policy, tries + 1, elapsed, random);
        if (wait === undefined) return;
        assert.ok(tries + 1 < policy.attempts && wait >= 0 && wait < policy.capMs);
        assert.ok(elapsed + wait <= policy.totalMs);
      }),
    );
  });
});

describe('a retry loop', () => {
  it('tells each try how many failed before it, and the operator why it waits', async () => {
    const clock = fakeClock(0.5);
    const notices: RetryNotice[] = [];
    const tries: number[] = [];
    const result = await withRetries(
      'get a',
      async (failed) => {
        tries.push(failed);
        if (failed < 2) throw status(503, 'SlowDown');
        return 'done';
      },
      { store: 's3://b', policy, clock, onRetry: (notice) => notices.push(notice) },
    );
    assert.equal(result, 'done');
    assert.deepEqual(tries, [0, 1, 2]);
    assert.deepEqual(clock.waits, [50, 100]);
    assert.deepEqual(notices[1], {
      store: 's3://b',
      what: 'get a',
      tries: 2,
      waitMs: 100,
      tryMs: 0,
      elapsedMs: 50,
      reason: 'SlowDown (HTTP 503)',
    });
  });

  it('throws the last failure when the tries are over, and a lasting one at once', async () => {
    const clock = fakeClock(0.5);
    let tries = 0;
    const failing = (error: unknown): Promise<never> =>
      withRetries('x', async () => (tries++, Promise.reject(error)), {
        store: 's3://b',
        policy,
        clock,
      });
    const busy = Object.assign(new Error('busy'), status(503));
    await assert.rejects(failing(busy), busy);
    assert.equal(tries, 5);
    const denied = Object.assign(new Error('denied'), status(403));
    await assert.rejects(failing(denied), denied);
    assert.equal(tries, 6);
  });

  it('goes on for a quarter of an hour when it is patient, and never waits over ten seconds', async () => {
    const clock = fakeClock(0.999_999);
    const options = { store: 's3://b', policy: patientRetryPolicy, clock };
    const away = (untilMs: number): Promise<string> =>
      withRetries(
        'x',
        async () => (clock.time < untilMs ? Promise.reject(code('ECONNREFUSED')) : 'back'),
        options,
      );
    assert.equal(await away(60_000), 'back');
    assert.ok(clock.time < 70_000);
    assert.equal(await away(clock.time + 880_000), 'back');
    await assert.rejects(away(Infinity), /ECONNREFUSED/);
    assert.ok(clock.waits.every((ms) => ms < 10_000));
    assert.deepEqual(structuredClone(patientRetryPolicy), patientRetryPolicy);
  });

  it('tells of each success, and tries again what the caller calls transient', async () => {
    let answers = 0;
    const full = code('ENOSPC');
    const options = {
      store: 'file://x',
      policy,
      clock: fakeClock(0.5),
      onAnswer: () => answers++,
      isTransient: (error: unknown) => error === full,
    };
    const put = async (failed: number): Promise<number> =>
      failed < 2 ? Promise.reject(full) : failed;
    assert.equal(await withRetries('put a', put, options), 2);
    assert.equal(answers, 1);
    await assert.rejects(withRetries('x', () => Promise.reject(code('ECONNRESET')), options));
    assert.equal(answers, 1);
  });

  it('ends in time even when each try is slow', async () => {
    const clock = fakeClock(0.5);
    let tries = 0;
    const slow = withRetries(
      'x',
      async () => {
        tries++;
        clock.time += 6_000;
        throw code('ETIMEDOUT');
      },
      { store: 's3://b', policy, clock },
    );
    await assert.rejects(slow, /ETIMEDOUT/);
    assert.equal(tries, 2);
  });
});
