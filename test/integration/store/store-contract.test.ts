// What every object store promises, tried on each kind: a folder, and a bucket on a real server.

import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { OperatorError } from '../../../shared/problems.js';
import { createFileStore, type FileStoreOptions } from '../../../shared/store/file-store.js';
import { openStore } from '../../../shared/store/open-store.js';
import {
  ObjectNotFound,
  PreconditionFailed,
  type ObjectStore,
} from '../../../shared/store/store.js';
import { testFolder } from '../../support/tiny-run.js';
import { keysOf, openS3Place } from '../../support/servers.js';

interface Ground {
  /** A second store object on the same place, as another program has. */
  open(prefix: string): ObjectStore;
  readonly isComplete: boolean;
  close(): Promise<void>;
}

async function fileGround(options: FileStoreOptions = {}): Promise<Ground> {
  const folder = await mkdtemp(join(tmpdir(), 'lockstep-store-'));
  return {
    open: (prefix) => createFileStore(`file://${folder}/${prefix}`, join(folder, prefix), options),
    isComplete: true,
    close: () => rm(folder, { recursive: true, force: true }),
  };
}

async function s3Ground(): Promise<Ground> {
  const place = await openS3Place();
  return {
    open: (prefix) => openStore(`s3://${place.bucket}/${prefix}`, { s3: place.options }),
    isComplete: place.isComplete,
    close: place.close,
  };
}

/** As on FAT and some FUSE mounts. */
const refuseLink = (): Promise<void> =>
  Promise.reject(Object.assign(new Error('EPERM: no links here'), { code: 'EPERM' }));

const text = (value: string): Buffer => Buffer.from(value);
const sum = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');

function contract(name: string, openGround: () => Promise<Ground>): void {
  describe(`object store contract: ${name}`, () => {
    let ground: Ground;
    let store: ObjectStore;
    before(async () => {
      ground = await openGround();
      store = ground.open('some/place');
    });
    after(async () => {
      await store.close();
      await ground.close();
    });
    /** A case beyond what s3rver can do. */
    const beyondS3rver = (what: string, body: () => Promise<void>): void => {
      it(what, async (t) => {
        if (!ground.isComplete) return t.skip('s3rver does not do this as S3 does');
        await body();
      });
    };

    it('gives back the bytes that were put, and their size', async () => {
      const body = randomBytes(70_000);
      await store.put('a/b.bin', body);
      assert.deepEqual(await store.get('a/b.bin'), body);
      assert.deepEqual(await store.head('a/b.bin'), { key: 'a/b.bin', bytes: 70_000 });
    });

    it('keeps an empty object', async () => {
      await store.put('empty', Buffer.alloc(0));
      assert.equal((await store.get('empty')).length, 0);
      assert.equal((await store.head('empty'))?.bytes, 0);
    });

    it('gives a range, half open', async () => {
      await store.put('range', text('0123456789'));
      assert.equal((await store.get('range', { start: 3, end: 7 })).toString(), '3456');
      assert.equal((await store.get('range', { start: 4, end: 4 })).length, 0);
      await assert.rejects(store.get('range', { start: -1, end: 3 }), /not a byte range/);
    });

    beyondS3rver('cuts a range at the end of the object, and gives nothing beyond it', async () => {
      await store.put('range', text('0123456789'));
      const range = async (start: number, end: number): Promise<string> =>
        (await store.get('range', { start, end })).toString();
      assert.equal(await range(0, 1), '0');
      assert.equal(await range(8, 100), '89');
      assert.equal(await range(10, 12), '');
      assert.equal(await range(50, 60), '');
      await store.put('range', Buffer.alloc(0));
      assert.equal(await range(0, 4), '');
    });

    it('says that an object is not there', async () => {
      assert.equal(await store.head('nowhere'), undefined);
      await assert.rejects(store.get('nowhere'), ObjectNotFound);
      await assert.rejects(store.get('nowhere', { start: 0, end: 1 }), ObjectNotFound);
      await assert.rejects(store.get('nowhere', { start: 1, end: 1 }), ObjectNotFound);
      await assert.rejects(store.get('nowhere'), /some\/place\/nowhere does not exist/);
    });

    it('deletes, and deletes what is not there without an error', async () => {
      await store.put('gone/x', text('x'));
      await store.delete('gone/x');
      assert.equal(await store.head('gone/x'), undefined);
      await store.delete('gone/x');
      await store.put('gone/x', text('y'));
      assert.equal((await store.get('gone/x')).toString(), 'y');
    });

    beyondS3rver('lists by prefix in the order of the keys, across folders', async () => {
      const keys = ['l/a-b', 'l/a.txt', 'l/a/1', 'l/a/2/z', 'l/a0', 'l/b', 'l/é', 'm'];
      for (const key of [...keys].reverse()) await store.put(key, text(key));
      assert.deepEqual(await keysOf(store, 'l/'), keys.slice(0, 7));
      assert.deepEqual(await keysOf(store, 'l/a'), keys.slice(0, 5));
      assert.deepEqual(await keysOf(store, 'l/a/'), ['l/a/1', 'l/a/2/z']);
      assert.deepEqual(await keysOf(store, 'nothing/'), []);
      for await (const info of store.list('m')) assert.deepEqual(info, await store.head('m'));
      assert.ok((await keysOf(store, '')).includes('l/a/2/z'));
    });

    it('refuses keys that are none, and never leaves its root', async () => {
      const bad = ['', '/', 'a//b', '../x', 'a/../../x', './a', 'a/', '/a', 'a\0b', 'a\\b', '..'];
      for (const key of bad) {
        await assert.rejects(store.put(key, text('x')), /not a key/, key);
        await assert.rejects(store.get(key), /not a key/, key);
        await assert.rejects(store.head(key), /not a key/, key);
        await assert.rejects(store.delete(key), /not a key/, key);
      }
    });

    it('keeps places apart: another prefix sees nothing of this one', async () => {
      const other = ground.open('some/place-2');
      await other.put('own', text('own'));
      assert.deepEqual(await keysOf(other, ''), ['own']);
      assert.equal(await store.head('own'), undefined);
      await other.close();
    });

    it('takes keys with spaces, plus, percent and letters of all languages', async () => {
      const keys = ['odd/a b+c%20d', 'odd/q?x=1&y#z\'"', 'odd/日本 é'];
      for (const key of keys) {
        await store.put(key, text(key));
        assert.equal((await store.get(key)).toString(), key);
      }
      assert.deepEqual((await keysOf(store, 'odd/')).sort(), [...keys].sort());
    });

    it('writes and reads an object of several parts', async () => {
      const body = randomBytes(37 * 1024 * 1024);
      await store.put('large', body);
      assert.equal((await store.head('large'))?.bytes, body.length);
      assert.equal(sum(await store.get('large')), sum(body));
      const range = { start: 16_777_000, end: 16_778_000 };
      assert.deepEqual(await store.get('large', range), body.subarray(range.start, range.end));
    });

    it('never shows a half-written object', async () => {
      const bodies = ['a', 'b'].map((letter) => Buffer.alloc(300_000, letter));
      await store.put('atomic', bodies[0]);
      let isWriting = true;
      const writer = (async () => {
        for (let i = 1; i <= 20; i++) await store.put('atomic', bodies[i % 2]);
        isWriting = false;
      })();
      while (isWriting) {
        const seen = await store.get('atomic');
        assert.equal(seen.length, 300_000);
        assert.ok(
          bodies.some((body) => body.equals(seen)),
          'a mixture of two versions',
        );
      }
      await writer;
    });

    beyondS3rver('puts only if absent', async () => {
      await store.put('cond/new', text('1'), { ifAbsent: true });
      const again = store.put('cond/new', text('2'), { ifAbsent: true });
      await assert.rejects(again, PreconditionFailed);
      assert.equal((await store.get('cond/new')).toString(), '1');
    });

    beyondS3rver('holds the condition for objects of several parts', async () => {
      const body = Buffer.alloc(17 * 1024 * 1024, 1);
      await store.put('cond/large', body, { ifAbsent: true });
      const again = store.put('cond/large', body, { ifAbsent: true });
      await assert.rejects(again, PreconditionFailed);
      await store.put('cond/large', text('small'));
      assert.equal((await store.get('cond/large')).toString(), 'small');
    });

    beyondS3rver('lets one of many at once create an object', async () => {
      const stores = Array.from({ length: 8 }, () => ground.open('some/place'));
      const results = await Promise.allSettled(
        stores.map((one, i) => one.put('cond/race', text(`${i}`), { ifAbsent: true })),
      );
      const winners = results.flatMap((result, i) => (result.status === 'fulfilled' ? [i] : []));
      assert.equal(winners.length, 1);
      for (const result of results)
        if (result.status === 'rejected') assert.ok(result.reason instanceof PreconditionFailed);
      assert.equal((await store.get('cond/race')).toString(), `${winners[0]}`);
      await Promise.all(stores.map((one) => one.close()));
    });
  });
}

contract('file', fileGround);
contract('file without hard links', () => fileGround({ makeLink: refuseLink }));
contract('s3', s3Ground);

describe('file store', () => {
  const root = testFolder();

  it('leaves neither temporary files nor empty folders behind', async () => {
    const folder = join(root, 'clean');
    const store = openStore(`file://${folder}`);
    await store.put('a/b/c', text('1'));
    await store.put('a/b/c', text('2'));
    await assert.rejects(store.put('a/b/c', text('3'), { ifAbsent: true }), PreconditionFailed);
    assert.deepEqual(await readdir(join(folder, 'a/b')), ['c']);
    await store.delete('a/b/c');
    assert.deepEqual(await readdir(folder), []);
  });

  it('refuses at once a place where no folder can be', async () => {
    await writeFile(join(root, 'afile'), 'x');
    for (const place of [`${root}/afile/run`, '/proc/none/run']) {
      if (place.startsWith('/proc') && process.platform !== 'linux') continue;
      const store = openStore(`file://${place}`);
      await assert.rejects(store.put('a/b', text('1'), { ifAbsent: true }), OperatorError);
    }
  });
});
