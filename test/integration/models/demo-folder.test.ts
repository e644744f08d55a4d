import assert from 'node:assert/strict';
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { join, relative, sep } from 'node:path';
import { test } from 'node:test';
import { facesLocation, markerFile, prepareFolder } from '../../../cli/demo/demo-folder.js';
import { packageFile } from '../../../shared/paths.js';
import { OperatorError } from '../../../shared/problems.js';
import { copied, stage } from '../../support/dockerfile.js';
import { testFolder } from '../../support/tiny-run.js';

const root = testFolder();

test('a new folder is made, and made again', async () => {
  const path = join(root, 'a', 'b');
  await prepareFolder(path, false);
  await mkdir(join(path, 'store', 'runs'), { recursive: true });
  await writeFile(join(path, 'faces.png'), 'old');
  await prepareFolder(path, false);
  assert.deepEqual(await readdir(path), [markerFile]);
});

test("someone else's folder is left alone, unless it is forced", async () => {
  const path = join(root, 'thesis');
  await mkdir(path);
  await writeFile(join(path, 'thesis.txt'), 'all of it');
  await assert.rejects(prepareFolder(path, false), (error) => {
    assert.ok(error instanceof OperatorError);
    assert.match(error.message, /thesis\.txt; --force deletes/);
    return true;
  });
  assert.deepEqual(await readdir(path), ['thesis.txt']);
  await prepareFolder(path, true);
  assert.deepEqual(await readdir(path), [markerFile]);
});

test('the working folder and those above it are never emptied', async () => {
  for (const path of ['.', '..', '/'])
    await assert.rejects(prepareFolder(path, true), /allowed: a folder of its own/);
});

test('a file where the folder should be is refused', async () => {
  const path = join(root, 'file');
  await writeFile(path, 'text');
  await assert.rejects(prepareFolder(path, true), OperatorError);
  if (process.platform !== 'linux') return;
  await assert.rejects(prepareFolder('/proc/x/y', false), /--out: .*can not be made/);
});

test('the faces are those that come along, or what the operator names', async () => {
  const names = await readdir(facesLocation(undefined), { recursive: true });
  assert.equal(names.filter((name) => name.endsWith('.jpg')).length, 72);
  assert.equal(facesLocation('s3://bucket/faces'), 's3://bucket/faces');
});

test('the faces are in the npm package and in the images', async () => {
  const folder = relative(packageFile('.'), facesLocation(undefined)).split(sep)[0];
  const manifest = await readFile(packageFile('package.json'), 'utf8');
  const { files } = JSON.parse(manifest) as { files: string[] };
  assert.ok(files.includes(folder), folder);
  assert.ok(copied(stage('program')).includes(folder), folder);
});
