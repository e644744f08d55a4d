// A training whose workers have 4 Mbit/s between them: it goes on, slowly, to the same bytes, and
// its status names the link.

import assert from 'node:assert/strict';
import { before, test } from 'node:test';
import { exitCodes } from '../../../shared/exit-codes.js';
import { lastLineOf, runLockstep, startLockstep } from '../../support/lockstep-command.js';
import { freePort } from '../../support/servers.js';
import { fourMegabits, startSlowLink } from '../../support/slow-link.js';
import { testFolder, tinyRun, writeRuns } from '../../support/tiny-run.js';

const folder = testFolder();
const stop = ['--stop-after', '2', '--json'];

/** Gradients of more than a mebibyte, so that a frame takes longer than silence may last. */
before(() => {
  const { generator } = tinyRun('');
  return writeRuns(folder, {
    wide: { generator: { ...generator, channels: 48, upsamplingChannels: 192 } },
  });
});

test('workers behind a slow link train on, to the same bytes, and status names it', async () => {
  const args = ['train', '-f', 'wide.yaml', '--run', 'near', '--workers', '1'];
  const near = await lastLineOf([...args, '--stop-after', '2'], folder, exitCodes.stopped);
  const serve = ['coordinator', '-f', 'wide.yaml', '--run', 'far', '--workers', '2'];
  const coordinator = startLockstep([...serve, '--listen', '127.0.0.1:0', ...stop], folder);
  const { address } = await coordinator.line('listening');
  const ports = [await freePort(), await freePort()];
  // Peers reach a worker by another address of this machine, where the link ends.
  const links = await Promise.all(
    ports.map((port) => {
      return startSlowLink(`127.0.0.1:${port}`, fourMegabits, { host: '127.0.0.2', port });
    }),
  );
  const workers = ports.map((port, i) => {
    const places = ['--listen', `127.0.0.1:${port}`, '--advertise', '127.0.0.2'];
    const join = ['worker', '--coordinator', String(address), '--id', `w-${i}`, ...places];
    return runLockstep([...join, '--lanes', '1'], folder);
  });
  try {
    await coordinator.line('step');
    const status = await lastLineOf(['status', 'far'], folder);
    for (const { worker, slow_link: link } of status['workers'] as Record<string, unknown>[]) {
      const { peer, bytes_per_s: rate } = link as { peer: string; bytes_per_s: number };
      assert.equal(peer, worker === 'w-0' ? 'w-1' : 'w-0');
      assert.ok(rate > fourMegabits / 2 && rate < 1.5 * fourMegabits, `${rate} B/s`);
    }
    const { code, lines } = await coordinator.result;
    assert.equal(code, exitCodes.stopped);
    const worlds = lines.filter(({ kind }) => kind === 'world');
    assert.equal(worlds.length, 1, JSON.stringify(worlds));
    assert.equal(lines.at(-1)?.['sha256'], near['sha256']);
    for (const { code: left, stderr } of await Promise.all(workers))
      assert.equal(left, exitCodes.stopped, stderr);
  } finally {
    for (const link of links) await link.close();
  }
});
