import assert from 'node:assert/strict';
import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { test } from 'node:test';
import { makeFolder, readRegularFile, readRegularFileSync } from '../../../shared/local-files.js';
import { openSpec } from '../../../shared/spec/load.js';
import { createFileStore } from '../../../shared/store/file-store.js';
import { makePipe } from '../../support/pipes.js';
import { testFolder } from '../../support/tiny-run.js';

const root = testFolder();
const at = (name: string): string => join(root, name);
const skip = process.platform === 'win32' ? 'no named pipes' : false;

async function reasonsOf(path: string, most = 100): Promise<readonly string[]> {
  const sync = (): Buffer => readRegularFileSync(path, most);
  const words = (error: unknown): string => (error as Error).message;
  let second = 'read';
  try {
    sync();
  } catch (error) {
    second = words(error);
  }
  return [await readRegularFile(path, most).then(() => 'read', words), second];
}

test('a regular file is read whole, up to the bound', async () => {
  writeFileSync(at('file'), 'twelve bytes');
  symlinkSync('file', at('link'));
  for (const name of ['file', 'link']) {
    assert.equal((await readRegularFile(at(name), 12)).toString(), 'twelve bytes');
    assert.equal(readRegularFileSync(at(name), 12).toString(), 'twelve bytes');
  }
  for (const reason of await reasonsOf(at('file'), 11))
    assert.equal(reason, 'it has 12 bytes, more than 11');
});

test('anything else is refused at once, with what it is', { skip }, async (t) => {
  makePipe(at('pipe'));
  mkdirSync(at('folder'));
  symlinkSync('nowhere', at('dead'));
  symlinkSync('circle', at('circle'));
  const server = createServer().listen(at('socket'));
  t.after(() => server.close());
  await new Promise((resolve) => server.once('listening', resolve));
  const cases: readonly (readonly [string, RegExp])[] = [
    [at('pipe'), /^it is a pipe/],
    [at('folder'), /^it is a folder/],
    [at('dead'), /^it is a link that leads nowhere$/],
    [at('circle'), /circles/],
    [at('socket'), /^it is a socket/],
    ['/dev/zero', /^it is a device/],
    [at('none'), /^it is not there$/],
    [at('file/x'), /a part of the path is a file/],
    ['', /^it is not there$/],
  ];
  for (const [path, expected] of cases)
    for (const reason of await reasonsOf(path)) assert.match(reason, expected, path);
});

test('a pipe holds up neither a spec nor a store', { skip }, async () => {
  makePipe(at('run.yaml'));
  assert.throws(() => openSpec(at('run.yaml')), /-f: given .*it is a pipe/);
  const store = createFileStore(`file://${root}`, root);
  await assert.rejects(store.get('run.yaml'), /ObjectNotFound/);
});

test('a folder is made with those above it, and an attempt has an end', async () => {
  await makeFolder(at('a/b/c'));
  await makeFolder(at('a/b/c'));
  writeFileSync(at('a/b/c/file'), '');
  await assert.rejects(makeFolder(at('a/b/c/file/x')), /ENOTDIR/);
  if (process.platform === 'linux') await makeFolder('/proc/x/y');
});
