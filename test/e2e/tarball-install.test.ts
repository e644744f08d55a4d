// What `npm pack` gives, installed globally where the registry is reached and nothing else is.

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { childEnvironment } from '../../shared/environment.js';
import { packageFile } from '../../shared/paths.js';

const run = promisify(execFile);

/** A port that nobody listens on: downloads by the install script of ONNX Runtime fail. */
const closed = { GLOBAL_AGENT_HTTP_PROXY: 'http://127.0.0.1:9' };

test('the tarball installs on a closed network, and the demo runs from there', async (t) => {
  const scratch = await mkdtemp(join(tmpdir(), 'lockstep-tarball-'));
  t.after(() => rm(scratch, { recursive: true }));
  const npm = (...args: string[]) =>
    run('npm', [...args, '--loglevel=error'], {
      cwd: packageFile('.'),
      env: childEnvironment({ ...closed, npm_config_ignore_scripts: undefined }),
      maxBuffer: 1 << 24,
    });
  const packed = await npm('pack', '--json', '--pack-destination', scratch);
  const [{ filename }] = JSON.parse(packed.stdout) as [{ filename: string }];
  const tarball = join(scratch, filename);
  // Scripts are on by default; the checkout's own .npmrc, which turns them off, is no part of it.
  const scripts = ['--ignore-scripts=false', '--foreground-scripts', '--prefer-offline'];
  const { stderr } = await npm('i', '-g', '--prefix', scratch, ...scripts, tarball);
  if (process.platform === 'linux' && process.arch === 'x64')
    assert.match(stderr, /CUDA libraries of ONNX Runtime could not be downloaded/);

  const lockstep = (...args: string[]) =>
    run(join(scratch, 'bin', 'lockstep'), args, { cwd: scratch, timeout: 240_000 });
  assert.match((await lockstep('--help')).stdout, /lockstep coordinator/);
  const findings = (await lockstep('doctor', '--json')).stdout.trim().split('\n');
  const onnx = findings
    .map((line) => JSON.parse(line) as { what: string; state: string })
    .find(({ what }) => what === 'onnx on cpu');
  assert.equal(onnx?.state, 'ok');

  const overrides = ['phases.0.steps=4', 'phases.1.steps=2', 'phases.2.steps=2'];
  const small = ['generator.blocks=1', 'generator.channels=8', 'discriminator.channels=4'];
  const flags = [...small, ...overrides].flatMap((override) => ['--set', override]);
  // So few steps need not beat bicubic, which is what its exit code says.
  await lockstep('demo', ...flags).catch(({ code }: { code: number }) => assert.equal(code, 1));
  assert.ok(existsSync(join(scratch, 'demo-out', 'faces.png')));
});
