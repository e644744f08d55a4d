// `lockstep watch` as a process: a run that goes on, one that has ended, and one that is not there.

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { cpSync, readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { before, test } from 'node:test';
import { isDeepStrictEqual } from 'node:util';
import { childEnvironment } from '../../../shared/environment.js';
import { parseCloudEvent } from '../../../shared/events/bus.js';
import { exitCodes } from '../../../shared/exit-codes.js';
import { packageFile } from '../../../shared/paths.js';
import { createRunHistory } from '../../../watch/history/history.js';
import type { RunPicture } from '../../../watch/history/picture.js';
import { startLockstep } from '../../support/lockstep-command.js';
import { testFolder, writeRuns } from '../../support/tiny-run.js';
import { until } from '../../support/until.js';

const folder = testFolder();
let seen: RunPicture[] = [];

before(async () => {
  await writeRuns(folder, { run: {} });
  const args = ['train', '-f', 'run.yaml', '--workers', '2', '--run', 'seen', '--json'];
  const training = startLockstep(args, folder);
  await training.line('run');
  const watching = startLockstep(['watch', 'seen', '--json'], folder);
  const { code, stderr, lines } = await watching.result;
  assert.equal(code, exitCodes.ok, stderr);
  seen = lines as unknown as RunPicture[];
  assert.equal((await training.result).code, exitCodes.ok);
});

test('pictures come as the run goes on, and end with it', () => {
  assert.ok(seen.length >= 2, `${seen.length} pictures`);
  const last = seen[seen.length - 1];
  assert.deepEqual([last.state, last.step, last.run], ['finished', 6, 'seen']);
  assert.equal(last.counts.checkpoints, 2);
  const steps = seen.map(({ step }) => step);
  assert.deepEqual(
    steps,
    steps.toSorted((a, b) => a - b),
  );
});

test('each picture is the one that follows from the events in the folder up to then', () => {
  const events = join(folder, 'runs/seen/events');
  const lines = readdirSync(events)
    .sort()
    .flatMap((file) => readFileSync(join(events, file), 'utf8').trimEnd().split('\n'));
  const history = createRunHistory();
  const pictures = lines.map((line) => {
    assert.ok(history.add(parseCloudEvent(JSON.parse(line))));
    return JSON.parse(JSON.stringify(history.picture())) as RunPicture;
  });
  for (const picture of seen) {
    // Several events may have come within its millisecond.
    const same = pictures.filter(({ time }) => time === picture.time);
    if (!same.some((one) => isDeepStrictEqual(one, picture)))
      assert.deepEqual(picture, same.at(-1));
  }
});

test('a run that has ended is shown from its folder, in plain lines', async () => {
  const { code, stdout, stderr } = await watch('seen', '--once');
  assert.equal(code, exitCodes.ok, stderr);
  assert.match(stdout, /^seen {2}finished at step 6/);
  assert.match(stdout, /step 6 of 6 \(100%\)/);
  assert.match(stdout, /faces at step 4|faces at step 6/);
  const lines = await watch('seen', '--from', 'folder');
  assert.equal(lines.code, exitCodes.ok, lines.stderr);
  assert.match(lines.stdout, /started from the beginning\n[^]*seen 6\/6 \(100%\)/);
  // eslint-disable-next-line no-control-regex
  assert.doesNotMatch(lines.stdout, /\x1b/);
});

test('a run that is not there is said to be so, and what to do', async () => {
  const nowhere = await watch('nowhere');
  assert.equal(nowhere.code, exitCodes.configuration);
  assert.match(nowhere.stderr, /there is no such run[^]*nowhere[^]*--nats/);
  const gone = await watch('seen', '--from', 'coordinator');
  assert.equal(gone.code, exitCodes.failed);
  assert.match(gone.stderr, /does not answer[^]*--from folder/);
  const wrong = await watch('seen', '--from', 'folder', '--nats', 'nats://n');
  assert.equal(wrong.code, exitCodes.configuration);
});

test('the page of a run that has ended is served from its folder', async () => {
  let said = '';
  const listener = { onLine: () => undefined, onSaid: (text: string) => (said += `${text}\n`) };
  const args = ['watch', 'seen', '--json', '--http', '127.0.0.1:0'];
  const watching = startLockstep(args, folder, {}, 60_000, listener);
  const address = (): string | undefined => /watch it at (http:\S+)/.exec(said)?.[1];
  await until(() => address() !== undefined && watching.lines().length > 0, 'the page');
  const picture = await (await fetch(new URL('api/picture', address()))).json();
  assert.deepEqual(picture, seen.at(-1));
  const html = await (await fetch(address() ?? '')).text();
  assert.match(html, /lockstep-watch/);
  assert.equal((await fetch(new URL('frames/6.png', address()))).status, 200);
  watching.process.kill('SIGINT');
  assert.equal((await watching.result).code, exitCodes.interrupted);
  const wrong = await watch('seen', '--once', '--http', '127.0.0.1:0');
  assert.equal(wrong.code, exitCodes.configuration);
  assert.match(wrong.stderr, /--http[^]*without --once/);
});

test('an interruption ends it', async () => {
  // A run that has no events yet is waited for.
  const silent = join(folder, 'runs/silent');
  cpSync(join(folder, 'runs/seen/run.json'), join(silent, 'run.json'), { recursive: true });
  const watching = startLockstep(['watch', 'silent', '--json'], folder);
  await until(() => watching.lines().length > 0, 'a picture');
  assert.equal(watching.lines()[0]['state'], 'unknown');
  watching.process.kill('SIGINT');
  assert.equal((await watching.result).code, exitCodes.interrupted);
});

/** `lockstep watch` where there is no terminal. */
async function watch(...args: string[]): Promise<{ code: number; stdout: string; stderr: string }> {
  const command = [packageFile('bin/lockstep.js'), 'watch', ...args];
  const options = { cwd: folder, env: childEnvironment({}), encoding: 'utf8' } as const;
  return new Promise((resolve) =>
    execFile(process.execPath, command, options, (error, stdout, stderr) =>
      resolve({ code: error === null ? 0 : Number(error.code), stdout, stderr }),
    ),
  );
}
