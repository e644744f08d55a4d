// Terms of coordinators on both kinds of object store: each is given once, the highest leads.

import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import {
  claimTerm,
  holdTerm,
  newestTerm,
  newestTermNumber,
} from '../../../coordinator/edge/terms.js';
import { openStore } from '../../../shared/store/open-store.js';
import type { ObjectStore } from '../../../shared/store/store.js';
import { testFolder } from '../../support/tiny-run.js';
import { keysOf, openS3Place, type S3Place } from '../../support/servers.js';

const leader = (pid: number) => ({
  address: `127.0.0.1:${7000 + pid}`,
  pid,
  host: 'here',
  startedAt: '2026-11-24T19:00:00.000Z',
});

const folder = testFolder();
let place: S3Place;

before(async () => void (place = await openS3Place()));
after(() => place.close());

for (const kind of ['file', 's3'] as const)
  describe(`terms on ${kind}://`, () => {
    const open = (name: string): ObjectStore =>
      kind === 'file'
        ? openStore(`file://${folder}/${name}`)
        : openStore(`s3://${place.bucket}/${name}`, { s3: place.options });

    it('count up from 1, and the newest is found with its address', async () => {
      const store = open('up');
      assert.equal(await newestTerm(store), undefined);
      assert.equal(await newestTermNumber(store), 0);
      assert.equal(await claimTerm(store, leader(1)), 1);
      assert.equal(await claimTerm(store, leader(2)), 2);
      assert.deepEqual(await newestTerm(store), { term: 2, ...leader(2) });
      assert.equal(await newestTermNumber(store), 2);
      assert.deepEqual(await keysOf(store), [
        'coordinators/term-00000001.json',
        'coordinators/term-00000002.json',
      ]);
      await store.close();
    });

    it('are different for coordinators that ask at once', async (t) => {
      if (kind === 's3' && !place.isComplete) return t.skip('s3rver ignores conditional puts');
      const store = open('at-once');
      const pids = [1, 2, 3, 4, 5, 6];
      const terms = await Promise.all(pids.map((pid) => claimTerm(store, leader(pid))));
      assert.equal(new Set(terms).size, pids.length, terms.join());
      assert.equal(await newestTermNumber(store), Math.max(...terms));
      await store.close();
    });

    it('leave sixteen files, and a deleted number is never given again', async (t) => {
      if (kind === 's3' && !place.isComplete) return t.skip('s3rver ignores conditional puts');
      const store = open('many');
      for (let pid = 1; pid <= 20; pid++) assert.equal(await claimTerm(store, leader(pid)), pid);
      const keys = await keysOf(store);
      assert.equal(keys.length, 16);
      assert.equal(keys[0], 'coordinators/term-00000005.json');
      // One that had looked long ago, when term 2 was the newest.
      let isStale = true;
      const late: ObjectStore = {
        ...store,
        list: (prefix) => {
          if (!isStale) return store.list(prefix);
          isStale = false;
          return stale(store, prefix);
        },
      };
      assert.equal(await claimTerm(late, leader(21)), 21);
      await store.close();
    });

    it('are held: a lost file is written again, unless another took the number', async (t) => {
      if (kind === 's3' && !place.isComplete) return t.skip('s3rver ignores conditional puts');
      const store = open('held');
      const key = 'coordinators/term-00000001.json';
      assert.equal(await claimTerm(store, leader(1)), 1);
      assert.deepEqual(await holdTerm(store, 1, leader(1)), { kind: 'held' });
      await store.delete(key);
      assert.deepEqual(await holdTerm(store, 1, leader(1)), { kind: 'restored' });
      assert.deepEqual(await newestTerm(store), { term: 1, ...leader(1) });
      await store.delete(key);
      assert.equal(await claimTerm(store, leader(2)), 1);
      const holder = 'pid 2 on here at 127.0.0.1:7002';
      assert.deepEqual(await holdTerm(store, 1, leader(1)), { kind: 'taken', holder });
      await store.put(key, Buffer.from('{"pid": 3}'));
      const unreadable = 'no coordinator that could be read';
      assert.deepEqual(await holdTerm(store, 1, leader(1)), { kind: 'taken', holder: unreadable });
      await store.delete(key);
      const pids = [1, 2, 3, 4];
      const held = await Promise.all(pids.map((pid) => holdTerm(store, 1, leader(pid))));
      assert.equal(held.filter((one) => one.kind === 'restored').length, 1);
      await store.close();
    });

    it('say what is wrong with a file that is none of ours', async () => {
      const store = open('foreign');
      await store.put('coordinators/term-00000003.json', Buffer.from('{"address": 3}'));
      await store.put('coordinators/readme.txt', Buffer.from('hello'));
      assert.equal(await newestTermNumber(store), 3);
      await assert.rejects(newestTerm(store), /term-00000003\.json is not valid: address: /);
      assert.equal(await claimTerm(store, leader(1)), 4);
      await store.put('coordinators/term-00000005.json', Buffer.alloc(80_000, 'x'));
      await assert.rejects(newestTerm(store), /is not JSON/);
      await store.close();
    });
  });

async function* stale(store: ObjectStore, prefix: string): ReturnType<ObjectStore['list']> {
  yield* store.list(`${prefix}never-`);
  yield { key: 'coordinators/term-00000002.json', bytes: 1 };
}
