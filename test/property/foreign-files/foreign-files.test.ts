// Readers of files and messages from elsewhere, each on hundreds of spoiled inputs. Longer, and
// from other seeds: npm run fuzz -- --seconds 600.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { allReaders } from './all-readers.js';
import { describeReaderFailure, requireSoundReading, tryReader, type Reader } from './reader.js';

const quickRuns = 150;

for (const reader of allReaders)
  test(`spoiled input is refused in order: ${reader.name}`, async () => {
    for (const bytes of reader.valid)
      assert.equal(await requireSoundReading(reader, bytes), 'read', 'what is valid is read');
    const run = await tryReader(reader, { seed: 1, runs: reader.runs ?? quickRuns });
    assert.ok(!run.failed, describeReaderFailure(reader.name, run));
  });

test('a reader that falls, babbles or grabs memory is found out', async () => {
  const sound = { name: 'r', input: allReaders[0].input, valid: [], refuses: () => true };
  const bad: Readonly<Record<string, Reader>> = {
    fell: {
      ...sound,
      read: () => {
        throw new TypeError('x');
      },
      refuses: () => false,
    },
    letters: {
      ...sound,
      read: () => {
        throw new Error('x'.repeat(1e6));
      },
    },
    'control character': {
      ...sound,
      read: () => {
        throw new Error('\u001b[31m');
      },
    },
  };
  for (const [what, reader] of Object.entries(bad))
    await assert.rejects(requireSoundReading(reader, Buffer.from('a')), new RegExp(what));
  let held: unknown;
  const greedy = { ...sound, read: () => void (held = Buffer.alloc(2 ** 28)) };
  await assert.rejects(requireSoundReading(greedy, Buffer.from('a')), /holds/);
  assert.ok(held !== undefined);
});
