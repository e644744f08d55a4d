// Wheels that were made to write elsewhere: names that lead out of the folder, and links.

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import {
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { unpackWheel } from '../../../cli/setup/wheels.js';
import { testFolder } from '../../support/tiny-run.js';

const hasPython = spawnSync('python3', ['-c', 'import zipfile']).status === 0;

/** Writes names and texts into an archive as they are; "link" makes a link of an entry. */
const packScript = `
import json, sys, zipfile
with zipfile.ZipFile(sys.argv[1], 'w') as z:
    for name, text, is_link in json.loads(sys.argv[2]):
        info = zipfile.ZipInfo('placeholder')
        info.filename = name
        info.external_attr = (0o120777 if is_link else 0o100755) << 16
        z.writestr(info, text)
`;

test(
  'a wheel writes nothing beside its folder, and no links',
  { skip: hasPython ? false : 'there is no Python 3' },
  async () => {
    const outer = testFolder();
    const [wheel, folder] = [join(outer, 'bad.whl'), join(outer, 'unpacked')];
    mkdirSync(folder);
    writeFileSync(join(outer, 'target'), 'as it was');
    const entries: [string, string, boolean][] = [
      ['lib/a.so', 'code', false],
      ['../target', 'overwritten', false],
      ['lib/../../target', 'overwritten', false],
      [join(outer, 'target'), 'overwritten', false],
      ['lib/link', '../../target', true],
      ['lib/link/../../../target', 'overwritten', false],
      ['..\\..\\target', 'overwritten', false],
      ['other/b.so', 'not asked for', false],
      ['a-1.dist-info/METADATA', 'Name: a', false],
      ['../../evil.dist-info/METADATA', 'Name: evil', false],
    ];
    const packed = spawnSync('python3', ['-c', packScript, wheel, JSON.stringify(entries)]);
    assert.equal(packed.status, 0, packed.stderr.toString());
    // A name that is a file and a folder at once ends it, with the archive's name.
    await unpackWheel(wheel, folder, ['lib/', '..', '/']).catch((error: Error) => {
      assert.match(error.message, /python3/);
    });
    assert.equal(readFileSync(join(outer, 'target'), 'utf8'), 'as it was');
    assert.deepEqual(readdirSync(outer).sort(), ['bad.whl', 'target', 'unpacked']);
    const all = readdirSync(folder, { recursive: true, encoding: 'utf8' });
    for (const path of all) assert.ok(!lstatSync(join(folder, path)).isSymbolicLink(), path);
    assert.equal(readFileSync(join(folder, 'lib/a.so'), 'utf8'), 'code');
    assert.ok(!existsSync(join(folder, 'other')));
  },
);
