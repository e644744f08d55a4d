// A store that answers 503 or nothing for longer than a command would wait: a patient one rides it
// out, loses nothing, and says one line when it is away and one when it is back.

import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { after, before, describe, it } from 'node:test';
import { createRunRecord, readRunRecord } from '../../shared/spec/record.js';
import { loadPreset } from '../../shared/spec/load.js';
import { openStore, type StoreOptions } from '../../shared/store/open-store.js';
import { createRunningStores } from '../../shared/store/notices.js';
import type { ObjectStore } from '../../shared/store/store.js';
import { startFaultProxy, type FaultProxy } from '../support/proxies.js';
import { openS3Place, type S3Place } from '../support/servers.js';

const quick = { attempts: 1000, baseMs: 50, capMs: 400, totalMs: 60_000 };

describe('a patient store', () => {
  let place: S3Place;
  let proxy: FaultProxy;
  before(async () => {
    place = await openS3Place();
    proxy = await startFaultProxy(place.options.endpoint);
  });
  after(async () => {
    await proxy.close();
    await place.close();
  });

  /** Runs every kind of request while the store is away for `awayMs`. */
  async function rideOut(kind: 'busy' | 'silent', awayMs: number, options: StoreOptions) {
    const lines: string[] = [];
    const s3 = { ...place.options, endpoint: proxy.url, ...options.s3 };
    const stores = createRunningStores({ ...options, s3 }, (line) => lines.push(line));
    const store: ObjectStore = openStore(`s3://${place.bucket}/${kind}-${awayMs}`, stores.options);
    const [small, large] = [randomBytes(1000), randomBytes(17 * 1024 * 1024)];
    await store.put('there', small);
    const backMs = performance.now() + awayMs;
    proxy.add({ kind, times: 1e9, matches: () => performance.now() < backMs });
    const keys = async (): Promise<string[]> => {
      const found: string[] = [];
      for await (const { key } of store.list('there')) found.push(key);
      return found;
    };
    const [got, listed] = await Promise.all([
      store.get('there'),
      keys(),
      store.put('small', small),
      store.put('large', large),
    ]);
    assert.ok(performance.now() >= backMs);
    assert.ok(got.equals(small));
    assert.deepEqual(listed, ['there']);
    assert.ok((await store.get('small')).equals(small));
    assert.ok((await store.get('large')).equals(large));
    assert.equal(lines.length, 2, lines.join('\n'));
    assert.match(lines[0], /^object store s3:\/\/\S+ is away: .*; trying again, nothing is lost$/);
    assert.match(lines[1], /^object store s3:\/\/\S+ is back after \d+ s$/);
    await store.close();
    stores.close();
    return lines;
  }

  it('rides out 503', async () => {
    const lines = await rideOut('busy', 5_000, { retryPolicy: quick });
    assert.match(lines[0], /SlowDown \(HTTP 503\)/);
  });

  it('rides out silence', async () => {
    const options = { retryPolicy: quick, s3: { idleTimeoutMs: 800 } };
    const lines = await rideOut('silent', 5_000, options);
    assert.match(lines[0], /does not answer/);
  });

  // In real time and by the policy of a run: longer than a command would wait.
  it('rides out 25 seconds of 503 by its own policy', async () => {
    await rideOut('busy', 25_000, {});
  });

  it("takes a run's record for its own whose answer was lost", async (t) => {
    if (!place.isComplete) return t.skip('s3rver has no conditional puts');
    const s3 = { ...place.options, endpoint: proxy.url };
    const store = openStore(`s3://${place.bucket}/record`, { s3, retryPolicy: quick });
    const spec = loadPreset('demo');
    const createdAt = '2026-01-01T00:00:00.000Z';
    const record = { format: 'lockstep-run/1' as const, run: 'r', spec, createdAt };
    const matches = (method: string): boolean => method === 'PUT';
    proxy.add({ kind: 'lost-answer', times: 1, matches });
    await createRunRecord(store, record);
    assert.deepEqual(await readRunRecord(store), record);
    const other = createRunRecord(store, { ...record, createdAt: '2026-01-02T00:00:00.000Z' });
    await assert.rejects(other, /the run exists already/);
    await store.close();
  });
});
