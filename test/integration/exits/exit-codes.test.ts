// Causes and the exit codes that they lead to, by real processes: a mistake is 78 and says what was
// given and what is allowed, what is not the operator's is 1, and neither shows a stack.

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { exitCodes } from '../../../shared/exit-codes.js';
import { packageFile } from '../../../shared/paths.js';
import { facesFolder } from '../../support/pictures.js';
import { testFolder } from '../../support/tiny-run.js';

const folder = testFolder();
writeFileSync(join(folder, 'deep.yaml'), '['.repeat(200_000));
mkdirSync(join(folder, 'deep'));
writeFileSync(join(folder, 'deep/run.json'), '{"a":'.repeat(200_000));
writeFileSync(join(folder, 'deep/index.json'), '['.repeat(200_000));

const lockstep = packageFile('bin/lockstep.js');
const { ok, failed, configuration } = exitCodes;

function run(program: string, args: readonly string[]) {
  return spawnSync(program, args, { cwd: folder, encoding: 'utf8', timeout: 60_000 });
}

const causes: readonly (readonly [line: string, code: number, words: RegExp])[] = [
  ['spec demo', ok, /^$/],
  ['spec -f deep.yaml', configuration, /deep\.yaml is not a valid .*nested deeper than 64/s],
  ['dataset ls file://deep', configuration, /index\.json: given .*JSON/],
  ['resume file://deep', configuration, /run\.json|run record/],
  ['train --preset demo --workers abc', configuration, /--workers: given "abc"; allowed: a number/],
  ['upscale a.png --tile=1O', configuration, /--tile: given "1O"; allowed: a number/],
  [
    'spec demo --set phases.0.steps=x',
    configuration,
    /--set phases\.0\.steps: given "x"; allowed:/,
  ],
  ['worker --coordinator h:1 --id a/b', configuration, /--id: given "a\/b"; allowed: .*letters/],
  ['spec demo --preset paper', configuration, /two presets are named/],
  ['status nope', configuration, /there is no such run/],
];

for (const [line, code, words] of causes)
  test(`lockstep ${line} ends with ${code}`, () => {
    const { status, stderr } = run(process.execPath, [lockstep, ...line.split(' ')]);
    assert.equal(status, code, stderr);
    assert.match(stderr, words);
    assert.doesNotMatch(stderr, /\n\s+at |RangeError|ENO[A-Z]+:/);
  });

/** A file system of our own needs a right that not everybody has. */
const canMount = run('unshare', ['-m', 'mount', '-t', 'tmpfs', 'none', folder]).status === 0;

for (const [what, options, code, words] of [
  ['full', 'size=100k', failed, /the disk is full: make room .*\(ENOSPC\)/],
  ['read-only', 'ro', configuration, /allowed: a folder .*mounted read-only/],
] as const)
  test(`a disk that is ${what} is called that`, { skip: !canMount }, () => {
    mkdirSync(join(folder, what));
    const pack = `"${process.execPath}" "${lockstep}" dataset pack "${facesFolder}" file://${what}/d`;
    const script = `mount -t tmpfs -o ${options} none ${what} && exec ${pack}`;
    const { status, stderr } = run('unshare', ['-m', 'bash', '-c', script]);
    assert.equal(status, code, stderr);
    assert.match(stderr, words);
    assert.doesNotMatch(stderr, /\n\s+at /);
  });
