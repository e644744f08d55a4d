import assert from 'node:assert/strict';
import { test } from 'node:test';
import { extract } from 'tar-stream';
import { createShardWriter, type Shard } from '../../../dataset/shards.js';

/** Members by name, read by another program's rules. */
async function membersOf(shard: Shard): Promise<Map<string, Buffer>> {
  const members = new Map<string, Buffer>();
  const tar = extract();
  tar.end(shard.body);
  for await (const entry of tar) {
    const parts: Buffer[] = [];
    for await (const part of entry as AsyncIterable<Buffer>) parts.push(part);
    const { mode, uid, gid, mtime } = entry.header;
    assert.deepEqual([mode, uid, gid, mtime?.getTime()], [0o644, 0, 0, 0]);
    members.set(entry.header.name, Buffer.concat(parts));
  }
  return members;
}

test('offsets point at the bytes of each file, whose name has one dot: the ending’s', async () => {
  const long = `d/${'é'.repeat(90)}`;
  // By key; WebDataset takes a name up to its first dot for the key.
  const names = {
    ...{ a: 'a', 'b/c': 'b/c', [long]: long, ['x'.repeat(300)]: 'x'.repeat(300) },
    ...{ 'v1.2/a.b': 'v1.2/a%2Eb', 'v1.2/a%2Eb': 'v1.2/a%252Eb', '100%': '100%25' },
  };
  const writer = createShardWriter(1 << 20);
  const bodies = Object.keys(names).map((_, i) => Buffer.alloc(500 + i * 7, i + 1));
  const places: Awaited<ReturnType<typeof writer.add>>[] = [];
  for (const [i, key] of Object.keys(names).entries())
    places.push(await writer.add(key, 'jpg', bodies[i]));
  const shard = writer.finish()!;
  places.forEach(({ offset, full }, i) => {
    assert.equal(full, undefined);
    assert.deepEqual(shard.body.subarray(offset, offset + bodies[i].length), bodies[i]);
  });
  const expected = Object.values(names).map((name, i) => [`${name}.jpg`, bodies[i]] as const);
  assert.deepEqual([...(await membersOf(shard))], expected);
});

test('a shard ends before it would be too large; a large picture has one of its own', async () => {
  const writer = createShardWriter(8192);
  const shards: Shard[] = [];
  const numbers: number[] = [];
  for (const [i, size] of [1000, 2000, 3000, 20_000, 100].entries()) {
    const { shard, full } = await writer.add(`k${i}`, 'png', Buffer.alloc(size, 1));
    numbers.push(shard);
    if (full !== undefined) shards.push(full);
  }
  shards.push(writer.finish()!);
  assert.equal(writer.finish(), undefined);
  assert.deepEqual(numbers, [0, 0, 1, 2, 3]);
  const inside = await Promise.all(
    shards.map(async (shard) => [shard.number, ...(await membersOf(shard)).keys()]),
  );
  assert.deepEqual(inside, [
    [0, 'k0.png', 'k1.png'],
    [1, 'k2.png'],
    [2, 'k3.png'],
    [3, 'k4.png'],
  ]);
  assert.ok(shards[0].body.length <= 8192);
});
