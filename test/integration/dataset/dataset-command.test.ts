// `lockstep dataset` as a user and a script see it: lines, names, exit codes.

import assert from 'node:assert/strict';
import { truncate } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { exitCodes } from '../../../shared/exit-codes.js';
import { testFolder } from '../../support/tiny-run.js';
import { runLockstep, type CommandResult } from '../../support/lockstep-command.js';
import { facesFolder, noise, writeFiles } from '../../support/pictures.js';

const root = testFolder();
const dataset = (...args: string[]): Promise<CommandResult> =>
  runLockstep(['dataset', ...args], root);

test('pack, ls and verify go together, and a damaged shard is named', async () => {
  const packed = await dataset('pack', facesFolder, 'file://faces', '--json');
  assert.equal(packed.code, exitCodes.ok, packed.stderr);
  const { samples, skipped, shards, index_sha256: sum } = packed.lines[0];
  assert.deepEqual([samples, skipped, shards, packed.lines.length], [72, [], 1, 1]);
  assert.match(String(sum), /^[0-9a-f]{64}$/);

  const listed = await dataset('ls', 'file://faces', '--json');
  assert.deepEqual([listed.code, listed.lines.length], [exitCodes.ok, 72]);
  assert.ok(listed.lines.every(({ width, height }) => width === 128 && height === 128));

  const whole = await dataset('verify', 'file://faces', '--json');
  assert.deepEqual([whole.code, whole.lines[0]?.['index_sha256']], [exitCodes.ok, sum]);
  await truncate(join(root, 'faces', 'shard-000000.tar'), 1000);
  const damaged = await dataset('verify', 'file://faces', '--json');
  assert.deepEqual([damaged.code, damaged.lines], [exitCodes.configuration, []]);
  assert.match(damaged.stderr, /shard-000000\.tar: given 1000; allowed: 408064 bytes/);
});

test('what is skipped is in the result and on stderr; --strict refuses it', async () => {
  const good = await noise(64, 64).png().toBuffer();
  await writeFiles(join(root, 'mixed'), {
    'good.png': good,
    'bad\u001b[31m.png': good.subarray(0, 2000),
    'empty.jpg': '',
  });
  const strict = await dataset('pack', 'mixed', 'file://out', '--strict');
  assert.equal(strict.code, exitCodes.configuration);
  assert.match(strict.stderr, /empty\.jpg/);
  const script = await dataset('pack', 'mixed', 'file://out', '--json');
  assert.equal(script.code, exitCodes.ok, script.stderr);
  const skipped = script.lines[0]['skipped'] as { file: string; reason: string }[];
  assert.deepEqual(
    skipped.map(({ file }) => file),
    ['bad\u001b[31m.png', 'empty.jpg'],
  );
  const again = await dataset('pack', 'mixed', 'file://out');
  assert.equal(again.code, exitCodes.configuration);
  assert.match(again.stderr, /--force/);
  const person = await dataset('pack', 'mixed', 'file://out', '--force');
  assert.equal(person.code, exitCodes.ok, person.stderr);
  // Which of the two the decoder says is chance (dataset/decode.ts).
  assert.match(person.stderr, /skipped bad\?\[31m\.png: (truncated or )?broken/);
  assert.match(person.stderr, /skipped empty\.jpg: zero bytes/);
  assert.ok(!person.stderr.includes('\u001b'), 'no file name writes to the terminal');
});

test('wrong options are all named before anything is read', async () => {
  const args = ['pack', 'missing', 'file://x', '--min-size', '1', '--shard-mib', '0.5'];
  const { code, stderr } = await dataset(...args);
  assert.equal(code, exitCodes.configuration);
  assert.match(stderr, /--min-size: given 1;/);
  assert.match(stderr, /--shard-mib: given 0\.5;/);
});
