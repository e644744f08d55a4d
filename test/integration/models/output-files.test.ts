// What upscale and export read and leave: regular files only, whole, and nothing beside them.

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdir, readdir, readFile, rm, symlink, utimes, writeFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { before, test } from 'node:test';
import { exportOnnx } from '../../../inference/generator.js';
import { createPartialFile, outputProblem, writing } from '../../../inference/output-file.js';
import { upscaleFile } from '../../support/models/upscale-file.js';
import { OperatorError } from '../../../shared/problems.js';
import { createSrganTask } from '../../../task/srgan/task.js';
import { tinySpec } from '../../support/engine/srgan-specs.js';
import { noise } from '../../support/pictures.js';
import { runLockstep, startLockstep } from '../../support/lockstep-command.js';
import { makePipe } from '../../support/pipes.js';
import { testFolder } from '../../support/tiny-run.js';
import { until } from '../../support/until.js';

const root = testFolder();
const at = (name: string): string => join(root, name);
const place = (name: string, isForced = false) => ({ path: at(name), isForced, key: 'output' });
const skip = process.platform === 'win32' ? 'no named pipes' : false;

before(async () => {
  const task = createSrganTask(tinySpec());
  const values = task.initialParameters('generator', 5);
  const model = exportOnnx(task, values, task.initialStatistics('generator'));
  await writeFile(at('model.onnx'), model);
  await noise(20, 10).jpeg().toFile(at('photo.jpg'));
});

function run(model: string, input: string, output: string, isForced = false) {
  return upscaleFile(at(input), at(output), { model: at(model), isForced });
}

async function write(name: string, isForced = false, content = 'new'): Promise<void> {
  const file = await createPartialFile(place(name, isForced));
  try {
    await file.handle.writeFile(content).finally(() => file.handle.close());
    await file.publish();
  } finally {
    await file.discard();
  }
}

test('what is no regular file is refused at once, as each argument', { skip }, async () => {
  makePipe(at('pipe.png'));
  await mkdir(at('folder.png'));
  await symlink('nowhere', at('dead.png'));
  const others = [
    ['pipe.png', 'a pipe'],
    ['folder.png', 'a folder'],
    ['dead.png', 'a link that leads nowhere'],
  ];
  for (const [name, what] of others)
    for (const [key, work] of [
      ['model', () => run(name, 'photo.jpg', 'out.png')],
      ['input', () => run('model.onnx', name, 'out.png')],
      ['output', () => run('model.onnx', 'photo.jpg', name)],
      ['output', () => run('model.onnx', 'photo.jpg', name, true)],
    ] as const)
      await assert.rejects(work, (error) => {
        assert.ok(error instanceof OperatorError, String(error));
        assert.equal(error.problems[0]?.key, key);
        assert.match(error.message, new RegExp(what));
        return true;
      });
});

test('a file is replaced by force only, through a link too, and never on the way', async () => {
  await writeFile(at('kept'), 'old');
  await symlink('kept', at('link'));
  assert.match((await outputProblem(place('kept')))?.hint ?? '', /--force/);
  await write('link', true);
  assert.equal(await readFile(at('kept'), 'utf8'), 'new');
  // It came while the file was being written.
  const file = await createPartialFile(place('late'));
  await file.handle.close();
  await writeFile(at('late'), 'other');
  await assert.rejects(file.publish(), /not there yet/);
  await file.discard();
  assert.equal(await readFile(at('late'), 'utf8'), 'other');
});

test('folders are made; where they can not be, the operator reads why', async () => {
  await write('new/folders/file');
  assert.deepEqual(await readdir(at('new/folders')), ['file']);
  const allowed = /cannot be written\n.*output: given .*allowed: a place in a folder.*\(a part of/;
  await assert.rejects(write('new/folders/file/below'), allowed);
  // Known before any work is done.
  assert.match((await outputProblem(place('new/folders/file/x')))?.hint ?? '', /is a file/);
  assert.match((await outputProblem(place('x'.repeat(300))))?.hint ?? '', /too long/);
  if (process.platform !== 'linux') return;
  const inProc = { path: '/proc/x/y', isForced: false, key: '--out' };
  await assert.rejects(createPartialFile(inProc), /--out: given "\/proc\/x\/y".*can not be made/);
});

test('a full disk is called one, whoever finds it so', async () => {
  for (const words of ['ENOSPC: no space left on device, write', 'unix error: No space left'])
    await assert.rejects(
      writing(place('x.png'), () => Promise.reject(new Error(words))),
      /cannot be written: no space is left at .*x\.png$/,
    );
});

test('what a killed process left goes with the next file; what others write stays', async () => {
  const dead = spawnSync(process.execPath, ['-e', '']).pid;
  const host = hostname().replace(/[^A-Za-z0-9]/g, '');
  const name = (of: string, pid: number) => `.lockstep-partial-${of}-${pid}-1`;
  await mkdir(at('shared'));
  const leftovers = [name(host, dead), name('elsewhere', 7)];
  const others = [name(host, process.ppid), name('elsewhere', 8), 'photo.partial', '.hidden'];
  for (const file of [...leftovers, ...others]) await writeFile(at(`shared/${file}`), 'half');
  const twoDaysAgo = Date.now() / 1000 - 2 * 24 * 60 * 60;
  await utimes(at(`shared/${name('elsewhere', 7)}`), twoDaysAgo, twoDaysAgo);
  await write('shared/file');
  assert.deepEqual((await readdir(at('shared'))).sort(), [...others, 'file'].sort());
  await rm(at('shared'), { recursive: true });
});

test('upscale that is killed leaves a file that the next one takes away', async () => {
  await mkdir(at('out'));
  await noise(400, 400).png().toFile(at('large.png'));
  const model = ['--model', at('model.onnx')];
  const args = ['upscale', at('large.png'), '--out', at('out/large.png'), ...model];
  const killed = startLockstep([...args, '--tile', '16'], root);
  await until(async () => (await readdir(at('out'))).length > 0, 'it writes');
  killed.process.kill('SIGKILL');
  await killed.result;
  const [left, ...more] = await readdir(at('out'));
  assert.match(left, /^\.lockstep-partial-/);
  assert.deepEqual(more, []);
  const { code, stderr } = await runLockstep(args, root);
  assert.equal(code, 0, stderr);
  assert.deepEqual(await readdir(at('out')), ['large.png']);
});
