import assert from 'node:assert/strict';
import { mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { facesLocation, markerFile, prepareFolder } from '../../../cli/demo/demo-folder.js';
import { OperatorError } from '../../../shared/problems.js';

async function temporary(t: TestContext): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'lockstep-demo-'));
  t.after(() => rm(folder, { recursive: true }));
  return folder;
}

test('a new folder is made, and made again', async (t) => {
  const path = join(await temporary(t), 'a', 'b');
  await prepareFolder(path, false);
  await mkdir(join(path, 'store', 'runs'), { recursive: true });
  await writeFile(join(path, 'faces.png'), 'old');
  await prepareFolder(path, false);
  assert.deepEqual(await readdir(path), [markerFile]);
});

test("someone else's folder is left alone, unless it is forced", async (t) => {
  const path = await temporary(t);
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

test('a file where the folder should be is refused', async (t) => {
  const path = join(await temporary(t), 'file');
  await writeFile(path, 'text');
  await assert.rejects(prepareFolder(path, true), OperatorError);
});

test('the faces are those of tabler-ui, or what the operator names', async () => {
  const names = await readdir(facesLocation(undefined), { recursive: true });
  assert.equal(names.filter((name) => name.endsWith('.jpg')).length, 72);
  assert.equal(facesLocation('s3://bucket/faces'), 's3://bucket/faces');
});
