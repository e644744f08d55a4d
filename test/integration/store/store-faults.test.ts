// A store whose server is busy, slow, or cut off in the middle: what is tried again, what is not,
// and what the operator reads when it does not help.

import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { after, before, describe, it } from 'node:test';
import { OperatorError } from '../../../shared/problems.js';
import { openStore, type StoreOptions } from '../../../shared/store/open-store.js';
import type { RetryNotice } from '../../../shared/store/retry.js';
import {
  StoreUnavailable,
  PreconditionFailed,
  type ObjectStore,
} from '../../../shared/store/store.js';
import { startFaultProxy, type FaultKind, type FaultProxy } from '../../support/proxies.js';
import { freePort, openS3Place, type S3Place } from '../../support/servers.js';

const fast = { attempts: 4, baseMs: 4, capMs: 20, totalMs: 20_000 };
const messageOf = async (promise: Promise<unknown>): Promise<string> =>
  promise.then(
    () => assert.fail('it must fail'),
    (error: unknown) => `${String(error)} ${JSON.stringify(error)} ${(error as Error).stack}`,
  );

describe('s3 store under faults', () => {
  let place: S3Place;
  let proxy: FaultProxy;
  let store: ObjectStore;
  let notices: RetryNotice[] = [];

  const open = (options: StoreOptions['s3'], bucket = place.bucket): ObjectStore =>
    openStore(`s3://${bucket}/faults`, {
      s3: { ...place.options, idleTimeoutMs: 10_000, ...options },
      retryPolicy: fast,
      onRetry: (notice) => notices.push(notice),
    });
  const fail = (kind: FaultKind, method: string, part: string, times = 1): void =>
    proxy.add({ kind, times, matches: (m, url) => m === method && url.includes(part) });

  before(async () => {
    place = await openS3Place();
    proxy = await startFaultProxy(place.options.endpoint);
    store = open({ endpoint: proxy.url });
  });
  after(async () => {
    await store.close();
    await proxy.close();
    await place.close();
  });
  const beyondS3rver = (what: string, body: () => Promise<void>): void => {
    it(what, async (t) => {
      if (!place.isComplete) return t.skip('s3rver does not do this as S3 does');
      await body();
    });
  };

  for (const kind of ['busy', 'reset', 'lost-answer', 'silent'] as const)
    it(`tries again after: ${kind}`, async () => {
      notices = [];
      const body = randomBytes(1000);
      // Where a server says nothing, only the time tells.
      const patient = kind === 'silent' ? 1_000 : 10_000;
      const store = open({ endpoint: proxy.url, idleTimeoutMs: patient });
      fail(kind, 'PUT', `/${kind}`, 2);
      await store.put(kind, body);
      fail(kind, 'GET', `/${kind}`, 2);
      assert.deepEqual(await store.get(kind), body);
      assert.equal(notices.length, 4);
      assert.ok(notices.every(({ waitMs }) => waitMs < 20));
      await store.close();
    });

  it('tries again when a body is cut short, and never returns half of it', async () => {
    notices = [];
    const body = randomBytes(500_000);
    await store.put('cut', body);
    fail('truncated', 'GET', '/cut', 2);
    assert.ok((await store.get('cut')).equals(body));
    assert.equal(notices.length, 2);
  });

  it('gives up after the last try and says where and why', async () => {
    fail('busy', 'PUT', '/always', 4);
    const put = store.put('always', Buffer.from('x'));
    await assert.rejects(put, StoreUnavailable);
    const said = await messageOf(put);
    assert.match(said, /can't put always in s3:\/\/.*\/faults at http.*SlowDown \(HTTP 503\)/);
  });

  it('sends parts again, one by one', async () => {
    notices = [];
    const store = open({ endpoint: proxy.url });
    const body = randomBytes(33 * 1024 * 1024);
    fail('busy', 'PUT', 'partNumber=2', 1);
    fail('reset', 'PUT', 'partNumber=3', 1);
    await store.put('parts', body);
    assert.ok((await store.get('parts')).equals(body));
    assert.deepEqual(notices.map(({ what }) => what).sort(), [
      'put part 2 of parts',
      'put part 3 of parts',
    ]);
    await store.close();
  });

  it('stops the upload of parts that can not be completed', async () => {
    const store = open({ endpoint: proxy.url });
    const from = proxy.seen.length;
    fail('busy', 'PUT', 'partNumber=2', 4);
    await assert.rejects(store.put('stuck', Buffer.alloc(40 * 1024 * 1024)), StoreUnavailable);
    assert.ok(proxy.seen.slice(from).some((line) => line.startsWith('DELETE ')));
    assert.equal(await store.head('stuck'), undefined);
    await store.close();
  });

  beyondS3rver('knows its own conditional put when only the answer was lost', async () => {
    fail('lost-answer', 'PUT', '/once', 1);
    await store.put('once', Buffer.from('mine'), { ifAbsent: true });
    assert.equal((await store.get('once')).toString(), 'mine');
  });

  beyondS3rver("does not take another program's put for its own", async () => {
    await store.put('theirs', Buffer.from('theirs'), { ifAbsent: true });
    fail('reset', 'PUT', '/theirs', 1);
    const put = store.put('theirs', Buffer.from('ours!!'), { ifAbsent: true });
    await assert.rejects(put, PreconditionFailed);
    assert.equal((await store.get('theirs')).toString(), 'theirs');
  });

  beyondS3rver('knows its own completion of parts when only the answer was lost', async () => {
    const store = open({ endpoint: proxy.url });
    const body = randomBytes(17 * 1024 * 1024);
    fail('lost-answer', 'POST', '/joined?uploadId', 1);
    await store.put('joined', body, { ifAbsent: true });
    assert.ok((await store.get('joined')).equals(body));
    await store.close();
  });

  it('names a bucket that is missing, and what to do', async () => {
    const other = open({}, 'lockstep-no-such-bucket');
    const put = other.put('x', Buffer.from('x'));
    await assert.rejects(put, OperatorError);
    assert.match(await messageOf(put), /lockstep-no-such-bucket.*create bucket/s);
    await other.close();
  });

  it('names an endpoint where nothing listens', async () => {
    const other = open({ endpoint: `http://127.0.0.1:${await freePort()}` });
    const said = await messageOf(other.head('x'));
    assert.match(said, /ECONNREFUSED.*nothing listens there.*LOCKSTEP_S3_ENDPOINT/s);
    await other.close();
  });

  beyondS3rver('asks once with wrong credentials, and prints none of them', async () => {
    notices = [];
    const wrong = { accessKeyId: 'WRONG-KEY-ID-1234', secretAccessKey: 'wrong-secret-5678' };
    const others = [open(wrong), open({ secretAccessKey: 'bad-5678' })];
    for (const other of others) {
      const put = other.put('x', Buffer.from('x'));
      await assert.rejects(put, OperatorError);
      const said = await messageOf(put);
      assert.match(said, /AWS_ACCESS_KEY_ID/);
      assert.doesNotMatch(said, /WRONG-KEY|5678|lockstep-test-secret/);
      await other.close();
    }
    assert.equal(notices.length, 0);
  });
});
