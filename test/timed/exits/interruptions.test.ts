// What a command ends with when it is asked to stop, at any time after its start, or when nobody
// reads its output any more: an exit code that is true, and no stack trace.

import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { before, test } from 'node:test';
import { setTimeout as wait } from 'node:timers/promises';
import { exitCodes } from '../../../shared/exit-codes.js';
import { packageFile } from '../../../shared/paths.js';
import { startLockstep } from '../../support/lockstep-command.js';
import { testFolder, writeRuns } from '../../support/tiny-run.js';

const folder = testFolder();
const { failed, interrupted, drained, outputClosed, stopped } = exitCodes;
const bySignal = { SIGINT: 130, SIGTERM: 143 } as const;

before(async () => {
  await writeRuns(folder, { long: { steps: 5000 } });
  await mkdir(join(folder, 'empty'));
});

const lockstep = `"${process.execPath}" "${packageFile('bin/lockstep.js')}"`;

/** Runs a line of a shell, where `lockstep` is ours; 128 + n for an end by signal n. */
function shell(line: string) {
  const script = line.replaceAll('lockstep ', `${lockstep} `);
  const { status, stdout, stderr } = spawnSync('bash', ['-c', script], {
    ...{ cwd: folder, encoding: 'utf8', timeout: 60_000 },
  });
  return { status, stdout, stderr };
}

test('a reader that goes away before the end is no success, and no stack trace', () => {
  for (const command of [
    'spec demo',
    'spec --list --json',
    '--help',
    'dataset ls file://dataset',
  ]) {
    // The reader is gone before the first byte.
    const { stdout, stderr } = shell(`lockstep ${command} | true; echo \${PIPESTATUS[0]}`);
    assert.equal(stdout, `${outputClosed}\n`, command);
    assert.doesNotMatch(stderr, /\n\s+at /);
  }
});

test('a remark that nobody reads costs nothing', () => {
  const line = 'lockstep spec -f long.yaml 2> >(true) > spec.txt; echo $?';
  assert.equal(shell(line).stdout, '0\n');
});

test('an output that can not be written says why', { skip: !existsSync('/dev/full') }, () => {
  const { status, stderr } = shell('lockstep spec demo > /dev/full');
  assert.equal(status, failed);
  assert.match(stderr, /can't write the output: .*no space left/i);
  assert.doesNotMatch(stderr, /\n\s+at /);
});

/** What may come of a stop in the first second, when a command has nothing yet to put in order. */
const early: readonly (readonly [args: readonly string[], code: number])[] = [
  [['train', '-f', 'long.yaml', '--run', 'early'], interrupted],
  [['worker', '--coordinator', '127.0.0.1:1', '--id', 'w'], drained],
  [['dataset', 'pack', 'empty', 'file://packed'], bySignal.SIGTERM],
  [['doctor'], bySignal.SIGTERM],
];

for (const [args, code] of early)
  test(`SIGTERM is not lost while lockstep ${args[0]} loads`, async (t) => {
    const command = [process.execPath, packageFile('bin/lockstep.js'), ...args];
    // The first process of a container has no default action: it must listen at once.
    const isFirst = spawnSync('unshare', ['-pf', 'true']).status === 0;
    const [program = '', ...rest] = [
      ...(isFirst ? ['unshare', '-pf', '--kill-child'] : []),
      ...command,
    ];
    const child = spawn(program, rest, { cwd: folder, stdio: 'ignore' });
    t.after(() => child.kill('SIGKILL'));
    const left = new Promise<number>((resolve) =>
      child.once('close', (status, signal) => resolve(status ?? (signal === null ? -1 : 143))),
    );
    const target = isFirst ? await childOf(child.pid ?? 0) : (child.pid ?? 0);
    await listens(target);
    process.kill(target, 'SIGTERM');
    assert.equal(await left, code);
    assert.equal(existsSync(join(folder, 'runs/early')), false);
  });

async function childOf(parent: number): Promise<number> {
  for (let tries = 0; tries < 500; tries++) {
    const children = readFileSync(`/proc/${parent}/task/${parent}/children`, 'utf8').trim();
    if (children !== '') return Number(children.split(' ')[0]);
    await wait(10);
  }
  throw new Error('unshare has started nothing');
}

/** Resolves when the process listens to SIGQUIT, which Node itself does not. */
async function listens(pid: number): Promise<void> {
  for (let tries = 0; tries < 2000; tries++) {
    const [, caught = '0'] =
      /SigCgt:\s*(\w+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8')) ?? [];
    if ((BigInt(`0x${caught}`) >> 2n) & 1n) return;
    await wait(5);
  }
  throw new Error('it does not listen');
}

test('a run that is stopped before there is a checkpoint can not be resumed, and says so', async () => {
  const train = startLockstep(['train', '-f', 'long.yaml', '--run', 'young', '--json'], folder);
  await train.line('run');
  train.process.kill('SIGTERM');
  const { code, lines } = await train.result;
  assert.equal(code, interrupted);
  const last = lines.at(-1) ?? {};
  assert.equal(last['kind'], 'stopped');
  assert.equal(last['exit_code'], interrupted);
  assert.match(String(last['reason']), /nothing was checkpointed/);
});

test('a run whose reader goes away stops in order, with a checkpoint', async () => {
  const train = startLockstep(['train', '-f', 'long.yaml', '--run', 'unread', '--json'], folder);
  await train.line('step');
  train.process.stdout?.destroy();
  const { code, stderr } = await train.result;
  assert.equal(code, stopped, stderr);
  assert.ok(existsSync(join(folder, 'runs/unread/checkpoints')));
  assert.doesNotMatch(stderr, /\n\s+at /);
});

const alone = ['worker', '--coordinator', '127.0.0.1:1', '--id', 'alone'];

test('without a terminal, as under nohup, SIGHUP means nothing', async () => {
  const worker = startLockstep(alone, folder);
  const pid = worker.process.pid ?? 0;
  await listens(pid);
  process.kill(pid, 'SIGHUP');
  const first = await Promise.race([worker.result, wait(2000)]);
  assert.equal(first, undefined, 'it has left');
  process.kill(pid, 'SIGTERM');
  assert.equal((await worker.result).code, drained);
});

const hasScript = spawnSync('script', ['--version']).status === 0;

test('a terminal that is closed means SIGTERM', { skip: !hasScript }, () => {
  const line =
    `lockstep ${alone.join(' ')} & p=$!; ` +
    'until [ $(( 0x$(grep -oP "SigCgt:\\s*\\K\\w+" /proc/$p/status) & 4 )) = 4 ]; ' +
    'do sleep 0.1; done; kill -HUP $p; wait $p; echo code=$?';
  assert.match(shell(`script -qec '${line}' /dev/null < /dev/null`).stdout, /code=5\b/);
});

test('the second signal ends a run at once', async () => {
  const train = startLockstep(['train', '-f', 'long.yaml', '--run', 'twice', '--json'], folder);
  const { pid } = await train.line('coordinator');
  await train.line('step');
  // Its coordinator stands still, so an orderly stop would last.
  process.kill(Number(pid), 'SIGSTOP');
  train.process.kill('SIGINT');
  await wait(700);
  train.process.kill('SIGINT');
  const { code } = await train.result;
  assert.equal(code, interrupted);
});
