// Executables in the run's folder: compiled once, loaded by all others, and never believed when they
// are not what they should be. The compiler is a fake whose results all differ, as an autotuner's may.

import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, test } from 'node:test';
import { openStore } from '../../../shared/store/open-store.js';
import type { ObjectStore } from '../../../shared/store/store.js';
import {
  openExecutable,
  type Compiler,
  type ExecutableFacts,
} from '../../../worker/engine/xla/stored-executable.js';

const facts: ExecutableFacts = {
  ...{ platform: 'cuda', plugin: 'cuda 13.0', device: 'NVIDIA H200', options: 'deterministic' },
};

interface FakeExecutable {
  readonly code: string;
  serialize(): Uint8Array | undefined;
  close(): void;
}

let compiled = 0;
let alive = 0;

/** Its code tells which compilation made it. */
function executable(code: string, canSerialize: boolean): FakeExecutable {
  alive += 1;
  return {
    code,
    serialize: () => (canSerialize ? Buffer.from(code) : undefined),
    close: () => void (alive -= 1),
  };
}

function fakeCompiler({ canSerialize = true, canLoad = true } = {}): Compiler<FakeExecutable> {
  return {
    compile: (program) => Promise.resolve(executable(`${program} ${++compiled}`, canSerialize)),
    load: (serialized) => {
      const code = Buffer.from(serialized).toString();
      if (canLoad && code.startsWith('step')) return Promise.resolve(executable(code, true));
      return Promise.reject(new Error('INVALID_ARGUMENT: no executable'));
    },
  };
}

let folder = '';
let executables: ObjectStore;
const warnings: string[] = [];
const warn = (text: string): void => void warnings.push(text);

beforeEach(() => {
  [compiled, alive] = [0, 0];
  warnings.length = 0;
  folder = mkdtempSync(join(tmpdir(), 'lockstep-executable-'));
  executables = openStore(`file://${folder}`);
});
afterEach(() => rmSync(folder, { recursive: true }));

const open = (program = 'step', given = facts, compiler = fakeCompiler()) =>
  openExecutable(compiler, program, given, { executables, warn });
const files = (): string[] => readdirSync(join(folder, 'executables')).sort();

test('the first compiles, the others load its bytes', async () => {
  assert.equal((await open()).code, 'step 1');
  assert.equal((await open()).code, 'step 1');
  assert.equal(compiled, 1);
  assert.equal(alive, 2);
  assert.deepEqual(warnings, []);
  assert.match(files().join(), /^[0-9a-f]{64}\.pjrt$/);
});

test('of those that compile at once one wins, and all run what it compiled', async () => {
  const all = await Promise.all(Array.from({ length: 5 }, () => open()));
  assert.equal(new Set(all.map(({ code }) => code)).size, 1);
  assert.equal(alive, 5);
  assert.equal(files().length, 1);
});

test('another program, plugin, device or option is another executable', async () => {
  const others = (['platform', 'plugin', 'device', 'options'] as const).map((name) => {
    return { ...facts, [name]: 'another' };
  });
  await open();
  await open('step two');
  for (const other of others) await open('step', other);
  assert.equal(compiled, 6);
  assert.equal(files().length, 6);
  for (const other of others) await open('step', other);
  assert.equal(compiled, 6);
});

/** Overwrites the only file by what `change` makes of it. */
function spoil(change: (file: Buffer) => Uint8Array): void {
  const path = join(folder, 'executables', files()[0]);
  writeFileSync(path, change(readFileSync(path)));
}

const flipped = (file: Buffer, at: number): Buffer => {
  const copy = Buffer.from(file);
  copy[at] ^= 1;
  return copy;
};
const header = (length: number, text: string): Buffer => {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(length);
  return Buffer.concat([bytes, Buffer.from(text)]);
};
const spoiled: readonly [string, (file: Buffer) => Uint8Array, RegExp][] = [
  ['a bit of the body', (file) => flipped(file, file.length - 1), /its SHA-256 is not that/],
  ['a file that was cut', (file) => file.subarray(0, -1), /it has 5 bytes instead of 6/],
  ['an empty file', () => Buffer.alloc(0), /it has no header/],
  ['a header longer than the file', () => header(2 ** 31, '{}'), /it has no header/],
  ['a header that is no JSON', () => header(4, '{{{{'), /its header is malformed/],
  ['a header that is too deep', () => header(9000, '['.repeat(9000)), /its header is malformed/],
  [
    'an executable of another plugin',
    (file) => Buffer.from(file.toString('latin1').replace('cuda 13.0', 'cuda 12.9'), 'latin1'),
    /its plugin is "cuda 12\.9", not "cuda 13\.0"/,
  ],
];

for (const [what, change, reason] of spoiled)
  test(`${what} is recognised, and all agree on what is compiled anew`, async () => {
    await open();
    spoil(change);
    const [own, other] = [await open(), await open()];
    assert.deepEqual([own.code, other.code, compiled], ['step 2', 'step 2', 2]);
    assert.equal(warnings.length, 2);
    for (const warning of warnings) assert.match(warning, reason);
    assert.equal(files().length, 2);
  });

test('an executable that the plugin refuses is compiled anew', async () => {
  await open();
  const refusing: Compiler<FakeExecutable> = {
    ...fakeCompiler(),
    load: (serialized) =>
      Buffer.from(serialized).toString() === 'step 1'
        ? Promise.reject(new Error('INVALID_ARGUMENT'))
        : fakeCompiler().load(serialized),
  };
  assert.equal((await open('step', facts, refusing)).code, 'step 2');
  assert.match(warnings.join(), /can't be used and is left alone: INVALID_ARGUMENT/);
});

test('what can not be kept is compiled each time', async () => {
  for (const compiler of [
    fakeCompiler({ canSerialize: false }),
    fakeCompiler({ canLoad: false }),
  ]) {
    compiled = 0;
    await open('step', facts, compiler);
    assert.equal((await open('step', facts, compiler)).code, 'step 2');
  }
  const none = await openExecutable(fakeCompiler(), 'step', facts, {});
  assert.equal(none.code, 'step 3');
  assert.equal(alive, 5);
});
