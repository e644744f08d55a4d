// The command as a process: what it prints, where, and the exit code it ends with.

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';
import { childEnvironment } from '../../../shared/environment.js';
import { exitCodes } from '../../../shared/exit-codes.js';

const main = new URL('../../../cli/main.js', import.meta.url).href;
const script = `const { main } = await import(${JSON.stringify(main)});
process.exitCode = await main(process.argv.slice(1));`;

const environment = childEnvironment({
  LOCKSTEP_NATS_URL: undefined,
  LOCKSTEP_S3_ENDPOINT: undefined,
  AWS_ENDPOINT_URL_S3: undefined,
});

function lockstep(...args: string[]) {
  return lockstepWith(environment, ...args);
}

function lockstepWith(env: Record<string, string>, ...args: string[]) {
  const options = { encoding: 'utf8', timeout: 30_000, env } as const;
  const flags = ['--input-type=module', '-e', script, '--'];
  return spawnSync(process.execPath, [...flags, ...args], options);
}

test('help lists the commands, goes to stdout and is no failure', () => {
  const { status, stdout, stderr } = lockstep('--help');
  assert.equal(status, exitCodes.ok);
  assert.match(stdout, /lockstep spec \[name\] +Print or check a run spec/);
  assert.match(stdout, /Examples:/);
  assert.equal(stderr, '');
});

test('a slip in the command line says what was meant, on stderr', () => {
  const unknown = lockstep('spce');
  assert.equal(unknown.status, exitCodes.configuration);
  assert.match(
    unknown.stderr,
    /There is no command "spce"\. Did you mean spec\?\nSee: lockstep --help/,
  );
  assert.equal(unknown.stdout, '');
  const flag = lockstep('spec', 'demo', '--sett', 'a=1');
  assert.equal(flag.status, exitCodes.configuration);
  assert.match(flag.stderr, /Unknown argument: sett\nSee: lockstep spec --help/);
  assert.match(lockstep('spec', '--set').stderr, /Not enough arguments following: set\nSee:/);
});

test('a dash names no file, and is what the message is about', () => {
  const { status, stderr } = lockstep('train', '-f', '-');
  assert.equal(status, exitCodes.configuration);
  assert.match(stderr, /"-" is no name of a file here.*standard input/);
});

test("an operator's mistake lists every problem and ends with 78", () => {
  const { status, stdout, stderr } = lockstep('spec', 'demo', '--set', 'a=1', '--set', 'seed=-1');
  assert.equal(status, exitCodes.configuration);
  assert.equal(stdout, '');
  assert.deepEqual(
    stderr.split('\n').map((line) => line.slice(0, 28)),
    [
      'lockstep: preset demo is not',
      '  - --set a: given "1"; allo',
      '  - --set seed: given -1; al',
      '',
    ],
  );
});

test('a flag that is given twice is refused, unless it may be', () => {
  const { status, stderr } = lockstep('train', '--preset', 'demo', '--run', 'a', '--run=b');
  assert.equal(status, exitCodes.configuration);
  assert.match(stderr, /--run: given \["a","b"\]; allowed: to be given once/);
  const file = lockstep('train', '-f', 'a.yaml', '-f', 'b.yaml');
  assert.equal(file.status, exitCodes.configuration);
  assert.match(file.stderr, /-f: given \["a.yaml","b.yaml"\]/);
});

test('a preset prints as YAML or JSON, overridden', () => {
  const args = ['spec', 'demo', '--set', 'seed=9', '--set=batch.size=2'];
  assert.match(lockstep(...args).stdout, /^seed: 9 # of initial parameters/m);
  const json = JSON.parse(lockstep(...args, '--json').stdout) as { seed: number };
  assert.equal(json.seed, 9);
  assert.match(lockstep('spec', '--list').stdout, /^demo +Faces in a few minutes/);
});

test('doctor finds the native packages and names a server that is away', () => {
  const { status, stdout } = lockstep('doctor');
  assert.equal(status, exitCodes.ok, stdout);
  assert.match(stdout, /^ok +onnx on cpu +onnx\/[\d.]+\/cpu: [\d.]+ ms, [\d.]+ GFLOP\/s$/m);
  const env = childEnvironment({ LOCKSTEP_NATS_URL: 'nats://127.0.0.1:1' });
  const away = lockstepWith(env, 'doctor', '--json');
  assert.equal(away.status, exitCodes.failed);
  assert.match(away.stdout, /"event bus","state":"bad","detail":"nats:.*: nothing listens there/);
  assert.match(away.stderr, /not in order: event bus/);
});
