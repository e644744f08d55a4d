// What an image holds, without a container engine: the files that the Dockerfile copies and the
// dependencies of `npm ci --omit=dev`, in a folder that nobody can write to, run by nobody in
// particular. A coordinator and a worker train there.

import assert from 'node:assert/strict';
import { execFile, spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { chmod, cp, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { after, before, test } from 'node:test';
import { promisify } from 'node:util';
import { userId } from '../../cli/kubernetes/objects/pod.js';
import { packageFile } from '../../shared/paths.js';
import { packFaces, printSpec, tinyRun } from '../support/tiny-run.js';
import { copied, stage } from '../support/dockerfile.js';

const run = promisify(execFile);
const isRoot = process.getuid?.() === 0;
const canSwitch = spawnSync('setpriv', ['--version']).status === 0;
const skip = isRoot && !canSwitch ? 'setpriv is missing' : false;

let scratch: string;
let program: string;
/** What a pod may write to. */
let writable: string;

before(async () => {
  if (skip !== false) return;
  scratch = await mkdtemp(join(tmpdir(), 'lockstep-install-'));
  program = join(scratch, 'opt');
  writable = join(scratch, 'tmp');
  for (const folder of [program, writable]) await mkdir(folder);
  await chmod(scratch, 0o755);
  await chmod(writable, 0o777);
  const files = new Set([...copied(stage('dependencies')), ...copied(stage('program'))]);
  for (const file of files) await cp(packageFile(file), join(program, file), { recursive: true });
  const isTest = packageFile('dist/test');
  const filter = (path: string): boolean => path !== isTest;
  await cp(packageFile('dist'), join(program, 'dist'), { recursive: true, filter });
  await run('npm', ['ci', '--omit=dev', '--prefer-offline'], { cwd: program, maxBuffer: 1 << 24 });
  await run('chmod', ['-R', 'a-w,a+rX', program]);
});

after(async () => {
  if (skip !== false) return;
  await run('chmod', ['-R', 'u+w', program]);
  await rm(scratch, { recursive: true });
});

/** The command line of `lockstep` for a user without rights. */
function asNobody(args: readonly string[]): readonly [string, string[]] {
  const command = [process.execPath, join(program, 'bin/lockstep.js'), ...args];
  const drop = [`--reuid=${userId}`, `--regid=${userId}`, '--clear-groups', '--no-new-privs'];
  return isRoot ? ['setpriv', [...drop, ...command]] : [command[0] ?? '', command.slice(1)];
}

const options = () => ({
  cwd: program,
  env: { PATH: '/usr/local/bin:/usr/bin:/bin', TMPDIR: writable, NODE_ENV: 'production' },
});

async function lockstep(...args: string[]): Promise<string> {
  const [file, given] = asNobody(args);
  return (await run(file, given, { ...options(), timeout: 120_000 })).stdout;
}

/** Starts one and collects its JSON lines. */
function start(args: readonly string[]) {
  const [file, given] = asNobody(args);
  const child: ChildProcess = spawn(file, given, {
    ...options(),
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const lines: Record<string, unknown>[] = [];
  let stderr = '';
  child.stderr?.setEncoding('utf8').on('data', (text: string) => (stderr += text));
  if (child.stdout !== null)
    createInterface({ input: child.stdout }).on('line', (line) => {
      if (line.startsWith('{')) lines.push(JSON.parse(line) as Record<string, unknown>);
    });
  const ended = new Promise<number | null>((resolve) =>
    child.once('close', (code) => resolve(code)),
  );
  return { child, lines, ended, said: () => stderr };
}

test('no development tool is installed', { skip }, async () => {
  const { devDependencies } = JSON.parse(await readFile(packageFile('package.json'), 'utf8')) as {
    devDependencies: Record<string, string>;
  };
  const top = Object.keys(devDependencies).filter((name) => !name.startsWith('@types/'));
  assert.ok(top.includes('typescript'));
  const { stdout } = await run('ls', ['-a', join(program, 'node_modules')]);
  for (const name of ['typescript', 'eslint', 'prettier', 's3rver'])
    assert.ok(!stdout.split('\n').includes(name), name);
});

test('nothing of it can be written by who runs it', { skip }, async () => {
  const script = `require('node:fs').writeFileSync(${JSON.stringify(join(program, 'x'))}, '')`;
  const [file, given] = asNobody([]);
  const args = isRoot ? [...given.slice(0, -1), '-e', script] : ['-e', script];
  await assert.rejects(run(file, args, options()), /EACCES|EROFS|EPERM/);
});

test('it says what it can do, and what this machine has', { skip }, async () => {
  assert.match(await lockstep('--help'), /lockstep coordinator/);
  const told = (await lockstep('doctor', '--json')).trim().split('\n');
  const findings = told.map((line) => JSON.parse(line) as { what: string; state: string });
  for (const needed of ['Node', 'onnx on cpu', 'sharp'])
    assert.equal(findings.find(({ what }) => what === needed)?.state, 'ok', needed);
});

test('it makes the objects of a launch', { skip }, async () => {
  const text = await lockstep(
    ...['launch', '--preset', 'paper', '--set', 'dataset.url=s3://bucket/faces', '--dry-run'],
    ...['--run', 's3://bucket/runs/faces', '--image', 'lockstep:1', '--workers', '3'],
  );
  assert.match(text, /^kind: Job$/m);
});

test('a coordinator and a worker train a run to its end', { skip }, async (t) => {
  const dataset = `file://${join(writable, 'faces')}`;
  await packFaces(dataset, writable);
  const spec = join(writable, 'run.yaml');
  await writeFile(spec, printSpec(tinyRun(dataset, 2)));
  await run('chmod', ['-R', 'a+rX', writable]);
  const coordinator = start([
    ...['coordinator', '-f', spec, '--run', `file://${join(writable, 'runs', 'tiny')}`],
    ...['--listen', '127.0.0.1:0', '--json'],
  ]);
  t.after(() => coordinator.child.kill('SIGKILL'));
  const { address } = await listening(coordinator);
  const worker = start(['worker', '--coordinator', address, '--id', 'worker-0']);
  t.after(() => worker.child.kill('SIGKILL'));
  assert.equal(await coordinator.ended, 0, coordinator.said());
  assert.equal(await worker.ended, 0, worker.said());
  const last = coordinator.lines.at(-1);
  assert.deepEqual([last?.['kind'], last?.['step']], ['finished', 5]);
  assert.match(String(last?.['sha256']), /^[0-9a-f]{64}$/);
});

/** Resolves once the coordinator has said where it listens. */
function listening({ child, lines, said }: ReturnType<typeof start>): Promise<{ address: string }> {
  return new Promise((resolve, reject) => {
    const look = (): void => {
      const found = lines.find(({ kind }) => kind === 'listening');
      if (found !== undefined) resolve({ address: String(found['address']) });
    };
    child.stdout?.on('data', () => setImmediate(look));
    child.once('close', () => reject(new Error(`it ended: ${said()}`)));
  });
}
