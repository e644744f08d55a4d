// Runs that load what was compiled before them, with the plugin for CPUs: after a restart, and as a
// newcomer, which takes the state from a peer as well.

import assert from 'node:assert/strict';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { before, test } from 'node:test';
import { exitCodes } from '../../shared/exit-codes.js';
import { giveExecutables } from '../support/any-workers.js';
import { lastLineOf, runLockstep, startLockstep } from '../support/lockstep-command.js';
import { skipWithoutXla as skip } from '../support/servers.js';
import { testFolder, writeRuns } from '../support/tiny-run.js';

const engine = { name: 'xla', threads: 1 } as const;

const folder = testFolder();
before(() =>
  writeRuns(folder, { eight: { engine, steps: 8 }, endless: { engine, steps: 100_000 } }),
);

/** How often an executable was compiled, loaded and refused in a part of a run. */
interface Opened {
  readonly compiled: number;
  readonly loaded: number;
  readonly refused: number;
}

/** Runs `lockstep ...args` to its end; the sum is '' where the run was only stopped. */
async function play(...args: string[]): Promise<{ opened: Opened; sha256: string }> {
  const environment = { LOCKSTEP_LOG_LEVEL: 'info' };
  const { code, lines, stderr } = await runLockstep([...args, '--json'], folder, environment);
  assert.ok(code === exitCodes.ok || code === exitCodes.stopped, stderr);
  const count = (what: string) => stderr.split(`"msg":"executable ${what}"`).length - 1;
  const [compiled, loaded, refused] = ['compiled', 'loaded', 'refused'].map(count);
  return { opened: { compiled, loaded, refused }, sha256: String(lines.at(-1)?.['sha256']) };
}

test('a restart loads what was compiled; what was spoilt is compiled anew', { skip }, async () => {
  // A step of the pixel phase, and the two kinds of the adversarial one; each has an update.
  const whole = await play('train', '-f', 'eight.yaml', '--run', 'whole');
  assert.deepEqual(whole.opened, { compiled: 6, loaded: 0, refused: 0 });
  await giveExecutables(folder, 'whole', 'again');
  const first = await play('train', '-f', 'eight.yaml', '--run', 'again', '--stop-after', '5');
  assert.deepEqual(first.opened, { compiled: 0, loaded: 6, refused: 0 });
  const executables = join(folder, 'runs', 'again', 'executables');
  for (const file of readdirSync(executables)) {
    const bytes = readFileSync(join(executables, file));
    bytes[bytes.length - 1] ^= 1;
    writeFileSync(join(executables, file), bytes);
  }
  const last = await play('resume', 'again');
  assert.deepEqual(last.opened, { compiled: 4, loaded: 0, refused: 4 });
  assert.equal(last.sha256, whole.sha256);
});

test('a newcomer takes the state from a peer, and the bytes stay the same', { skip }, async () => {
  for (const run of ['joined', 'alone']) await giveExecutables(folder, 'whole', run);
  const args = ['train', '-f', 'endless.yaml', '--run', 'joined', '--json'];
  const running = startLockstep(args, folder);
  await running.line('step');
  await lastLineOf(['scale', 'joined', '--workers', '2'], folder);
  const isOfTwo = ({ members }: Record<string, unknown>) => (members as unknown[]).length === 2;
  const formed = await running.line('world', isOfTwo);
  await running.line('step', ({ step }) => Number(step) >= Number(formed['step']) + 3);
  running.process.kill('SIGINT');
  const { code, lines, stderr } = await running.result;
  assert.equal(code, exitCodes.stopped, stderr);
  const { step, world, sha256 } = lines.at(-1) ?? {};
  assert.equal(world, 2);
  const alone = ['train', '-f', 'endless.yaml', '--run', 'alone', '--stop-after', String(step)];
  assert.equal((await lastLineOf(alone, folder, exitCodes.stopped))['sha256'], sha256);
});
