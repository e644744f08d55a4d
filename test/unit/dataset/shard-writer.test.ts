import assert from 'node:assert/strict';
import { test } from 'node:test';
import { extract } from 'tar-stream';
import { createShardWriter, memberName, type Shard } from '../../../dataset/shard-writer.js';

async function membersOf(shard: Shard): Promise<Map<string, Buffer>> {
  const members = new Map<string, Buffer>();
  const tar = extract();
  tar.end(shard.body);
  for await (const entry of tar) {
    const parts: Buffer[] = [];
    for await (const part of entry as AsyncIterable<Buffer>) parts.push(part);
    assert.deepEqual(
      [entry.header.mode, entry.header.uid, entry.header.gid, entry.header.mtime?.getTime()],
      [0o644, 0, 0, 0],
    );
    members.set(entry.header.name, Buffer.concat(parts));
  }
  return members;
}

test('offsets point at the bytes of each file, long and foreign names included', async () => {
  const keys = ['a', 'b/c', `d/${'é'.repeat(90)}`, 'x'.repeat(300), 'v1.2', '100%'];
  const writer = createShardWriter(1 << 20);
  const files = keys.map((key, i) => ({ key, body: Buffer.alloc(500 + i * 7, i + 1) }));
  const places: Awaited<ReturnType<typeof writer.add>>[] = [];
  for (const { key, body } of files) places.push(await writer.add(key, 'jpg', body));
  const shard = writer.finish();
  assert.ok(shard);
  for (const [i, { body }] of files.entries()) {
    const { offset, full } = places[i];
    assert.equal(full, undefined);
    assert.deepEqual(shard.body.subarray(offset, offset + body.length), body);
  }
  const members = await membersOf(shard);
  assert.deepEqual(
    [...members.keys()],
    keys.map((key) => `${memberName(key)}.jpg`),
  );
  assert.deepEqual(
    [...members.values()],
    files.map(({ body }) => body),
  );
});

test('a shard ends before it would be too large; a large picture has one of its own', async () => {
  const writer = createShardWriter(8192);
  const shards: Shard[] = [];
  const sizes = [1000, 2000, 3000, 20_000, 100];
  const numbers = [];
  for (const [i, size] of sizes.entries()) {
    const { shard, full } = await writer.add(`k${i}`, 'png', Buffer.alloc(size, 1));
    numbers.push(shard);
    if (full !== undefined) shards.push(full);
  }
  shards.push(writer.finish()!);
  assert.equal(writer.finish(), undefined);
  assert.deepEqual(numbers, [0, 0, 1, 2, 3]);
  assert.deepEqual(
    shards.map(({ number }) => number),
    [0, 1, 2, 3],
  );
  const inside = await Promise.all(
    shards.map(async (shard) => [...(await membersOf(shard)).keys()]),
  );
  assert.deepEqual(inside, [['k0.png', 'k1.png'], ['k2.png'], ['k3.png'], ['k4.png']]);
  assert.ok(shards[0].body.length <= 8192);
});

test('WebDataset sees the whole key before the first dot', () => {
  assert.equal(memberName('v1.2/a.b'), 'v1.2/a%2Eb');
  assert.notEqual(memberName('a%2Eb'), memberName('a.b'));
});
