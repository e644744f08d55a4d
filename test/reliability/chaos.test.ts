// `lockstep chaos` on real processes: what it does to a run changes nothing of the bytes, and it
// tells what came of each fault.

import assert from 'node:assert/strict';
import { before, test } from 'node:test';
import { exitCodes } from '../../shared/exit-codes.js';
import { testFolder, writeRuns } from '../support/tiny-run.js';
import { runLockstep, startLockstep } from '../support/lockstep-command.js';

const folder = testFolder();

before(() => {
  const checkpoint = { everySteps: 25, keep: 3 };
  return writeRuns(folder, { long: { steps: 100_000, checkpoint } });
});

/** A seed whose first fault is a flip, and whose next ones are of all the other kinds. */
const seed = '211';

test('killed, frozen, half open, flipped, without a coordinator: the run gives the same bytes', async () => {
  const args = ['train', '-f', 'long.yaml', '--workers', '3', '--run', 'struck'];
  const running = startLockstep([...args, '--allow-faults', '--json'], folder);
  await running.line('step', (line) => Number(line['step']) >= 5);
  const chaos = await runLockstep(
    [
      ...['chaos', 'struck', '--faults', 'kill,freeze,coordinator,flip,half-open', '--json'],
      ...['--seed', seed, '--every', '3', '--duration', '20'],
    ],
    folder,
  );
  running.process.kill('SIGINT');
  const { code, lines } = await running.result;
  assert.equal(chaos.code, exitCodes.ok, chaos.stderr);
  assert.equal(code, exitCodes.stopped);
  const faults = chaos.lines.filter(({ kind }) => kind === 'fault');
  assert.ok(faults.length >= 4, `${faults.length} faults`);
  for (const fault of faults)
    assert.match(String(fault['outcome']), /^(recovered|unnoticed)$/, JSON.stringify(fault));
  const flip = faults.find(({ fault }) => fault === 'flip');
  assert.equal(flip?.['outcome'], 'recovered');
  const found = lines.filter(({ text }) => /differs? from the others/.test(String(text)));
  assert.match(String(found[0]?.['text']), new RegExp(`\\b${String(flip['victim'])}\\b`));

  const { step, sha256 } = lines.at(-1) ?? {};
  const alone = ['train', '-f', 'long.yaml', '--workers', '1', '--run', 'unhurt', '--json'];
  const whole = await runLockstep([...alone, '--stop-after', String(step)], folder);
  assert.equal(whole.lines.at(-1)?.['step'], step);
  assert.equal(whole.lines.at(-1)?.['sha256'], sha256);

  const over = await runLockstep(['chaos', 'struck'], folder);
  assert.equal(over.code, exitCodes.configuration);
  assert.match(over.stderr, /the run is not going on\n.*go on with it: lockstep resume file:/);
});

test('mistakes are refused before anything is looked for', async () => {
  const { code, stderr } = await runLockstep(['chaos', 'nowhere', '--faults', 'kil'], folder);
  assert.equal(code, exitCodes.configuration);
  assert.match(stderr, /--faults: given "kil"; allowed: kill, freeze, drain/);
  const odd = await runLockstep(['chaos', 'nowhere', '--every', '0', '--count', '1.5'], folder);
  assert.equal(odd.code, exitCodes.configuration);
  assert.match(odd.stderr, /--every: given 0;.*\n.*--count: given 1.5;/);
  const none = await runLockstep(['chaos', 'nowhere'], folder);
  assert.equal(none.code, exitCodes.configuration);
  assert.match(none.stderr, /there is no such run/);
});
