// What a machine says of memory, read from files as Linux writes them.

import assert from 'node:assert/strict';
import { totalmem } from 'node:os';
import { test } from 'node:test';
import { memoryKills, memoryLimit, wordsOnKill } from '../../../cli/local/memory.js';

const reader = (files: Readonly<Record<string, string>>) => (file: string) => files[file] ?? '';
const [v1, v2] = ['/sys/fs/cgroup/memory/memory.limit_in_bytes', '/sys/fs/cgroup/memory.max'];

test('the limit of a container is found under both versions of cgroups', () => {
  const small = 512 * 1024 ** 2;
  assert.equal(memoryLimit(reader({ [v2]: `${small}\n` })), small);
  assert.equal(memoryLimit(reader({ [v1]: `${small}\n` })), small);
  const own = memoryLimit(reader({}));
  assert.ok(own === undefined || own < totalmem());
  for (const none of [{ [v2]: 'max\n' }, { [v1]: '9223372036854771712\n' }, { [v2]: '0' }])
    assert.equal(memoryLimit(reader(none)), own, JSON.stringify(none));
});

test('a process that was killed says that memory ran out, only if the system says so', () => {
  const vmstat = 'nr_free_pages 1\noom_kill 3\nother 5\n';
  assert.equal(memoryKills(reader({ '/proc/vmstat': vmstat })), 3);
  assert.equal(memoryKills(reader({})), undefined);
  assert.equal(wordsOnKill(undefined), '');
  wordsOnKill(3);
  assert.equal(wordsOnKill(3), '');
  assert.match(
    wordsOnKill(4),
    /ended processes for want of memory .* GiB are free .*fewer workers/,
  );
  assert.equal(wordsOnKill(4), '');
});
