// Runs and datasets that are moved, records that are edited, and places that are none.

import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { cp, mkdir, readFile, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { before, test } from 'node:test';
import { exitCodes } from '../../shared/exit-codes.js';
import { runLockstep } from '../support/lockstep-command.js';
import { packFaces, printSpec, runIn, testFolder } from '../support/tiny-run.js';

const folder = testFolder();
const elsewhere = join(folder, 'elsewhere');

before(async () => {
  await mkdir(elsewhere);
  await packFaces(`file://${folder}/dataset`, folder);
  const spec = runIn(folder);
  const relative = { ...spec, dataset: { ...spec.dataset, url: 'file://dataset' } };
  await writeFile(join(folder, 'run.yaml'), printSpec(relative));
});

const train = (run: string, ...more: string[]) =>
  runLockstep(['train', '-f', 'run.yaml', '--run', run, '--json', ...more], folder);

test('a run and its dataset are found from another folder, and go on where they were moved to', async () => {
  const whole = await train('file://runs/whole');
  assert.equal(whole.code, exitCodes.ok, whole.stderr);
  const half = await train('file://runs/half', '--stop-after', '4');
  assert.equal(half.code, exitCodes.stopped, half.stderr);
  const record = JSON.parse(readFileSync(join(folder, 'runs/half/run.json'), 'utf8')) as {
    spec: { dataset: { url: string; indexSha256: string } };
  };
  assert.equal(record.spec.dataset.url, `file://${folder}/dataset`);

  await rename(join(folder, 'runs/half'), join(elsewhere, 'moved run'));
  await cp(join(folder, 'dataset'), join(elsewhere, 'other'), { recursive: true });
  await rename(join(folder, 'dataset'), join(elsewhere, 'faces'));
  const resume = (...more: string[]) =>
    runLockstep(['resume', 'file://moved run', '--workers', '2', '--json', ...more], elsewhere);

  const lost = await resume();
  assert.equal(lost.code, exitCodes.configuration);
  assert.match(said(lost), /--dataset/);

  const index = join(elsewhere, 'other', 'index.json');
  await writeFile(index, `${await readFile(index, 'utf8')} `);
  const other = await resume('--dataset', 'file://other');
  assert.equal(other.code, exitCodes.configuration);
  assert.match(said(other), new RegExp(`[0-9a-f]{64}.*${record.spec.dataset.indexSha256}`, 's'));

  const moved = await resume('--dataset', 'file://faces');
  assert.equal(moved.code, exitCodes.ok, moved.stderr);
  assert.equal(moved.lines.at(-1)?.['sha256'], whole.lines.at(-1)?.['sha256']);
  await rename(join(elsewhere, 'faces'), join(folder, 'dataset'));
});

test('a record that was edited after a checkpoint is refused with its keys', async () => {
  const path = join(folder, 'runs/whole/run.json');
  const text = readFileSync(path, 'utf8');
  const resume = async (edited: string) => {
    await writeFile(path, edited);
    return runLockstep(['resume', 'file://runs/whole', '--json'], folder);
  };
  const edited = await resume(text.replace('"seed": 11', '"seed": 12'));
  assert.equal(edited.code, exitCodes.configuration);
  assert.match(said(edited), /spec\.seed: given 12; allowed: 11/);
  const wrong = await resume(text.replace('"seed": 11', '"seed": -1'));
  assert.equal(wrong.code, exitCodes.configuration);
  assert.match(said(wrong), /spec\.seed: given -1; allowed: a whole number/);
  const torn = await resume(text.slice(0, 40));
  assert.equal(torn.code, exitCodes.configuration);
  assert.match(said(torn), /run\.json: given/);
  await writeFile(path, text);
});

for (const run of ['gs://bucket/faces', '', '../../escape', 'file://localhost/x'])
  test(`--run '${run}' is refused, and nothing is written`, async () => {
    const { code, stderr } = await train(run);
    assert.equal(code, exitCodes.configuration);
    assert.match(stderr, /--run: given ".*"; allowed: the id of a local run/);
    assert.equal(existsSync(join(folder, 'runs', run, 'run.json')) && run !== '', false);
  });

/** What it complained about, on either stream. */
function said({ lines, stderr }: Awaited<ReturnType<typeof train>>): string {
  return stderr + JSON.stringify(lines.at(-1) ?? {});
}
