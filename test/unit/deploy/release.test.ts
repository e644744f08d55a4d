// What a release is made of: a base image by its digest or none, and a list of the software in it.

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { chmodSync, cpSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { packageFile } from '../../../shared/paths.js';
import { testFolder } from '../../support/tiny-run.js';

const digest = `sha256:${'0123456789abcdef'.repeat(4)}`;
const base = 'node:24.21.0-bookworm-slim';
const pinned = `${base}@${digest}`;

/** A checkout with the release script, a Dockerfile, and a builder that prints what it is asked. */
function checkout(from = pinned): {
  run(...words: string[]): ReturnType<typeof spawnSync>;
  folder: string;
} {
  const folder = testFolder();
  mkdirSync(join(folder, 'deploy/docker'), { recursive: true });
  cpSync(packageFile('deploy/docker/release.sh'), join(folder, 'deploy/docker/release.sh'));
  writeFileSync(join(folder, 'deploy/docker/Dockerfile'), `ARG NODE_IMAGE=${from}\n`);
  const builder = join(testFolder(), 'builder');
  writeFileSync(builder, '#!/bin/sh\nprintf "%s\\n" "$@"\n');
  chmodSync(builder, 0o755);
  const git = (...words: string[]) =>
    assert.equal(spawnSync('git', words, { cwd: folder }).status, 0, words.join(' '));
  git('init', '-q');
  git('add', '-A');
  git('-c', 'user.name=n', '-c', 'user.email=e@example.org', 'commit', '-qm', 'all');
  return {
    folder,
    run: (...words) =>
      spawnSync(join(folder, 'deploy/docker/release.sh'), words, {
        env: { PATH: process.execPath.replace(/[^/]+$/, '') + ':/usr/bin:/bin', BUILDER: builder },
        encoding: 'utf8',
      }),
  };
}

test('a release is built from a base image that is named by its digest', () => {
  const { run } = checkout();
  const { status, stdout, stderr } = run('cpu', 'r/lockstep:1', '--pull');
  assert.equal(status, 0, String(stderr));
  const words = String(stdout).trim().split('\n');
  assert.ok(words.includes(`org.opencontainers.image.base.name=${base}`));
  assert.ok(words.includes(`org.opencontainers.image.base.digest=${digest}`));
  // The last one counts.
  assert.deepEqual(words.slice(-4), ['--pull', '--build-arg', `NODE_IMAGE=${pinned}`, '.']);
});

test('a tag alone, half a digest, another target or a changed checkout are refused', () => {
  for (const [from, given, reason] of [
    [base, ['cpu', 'a:1'], /NODE_IMAGE in deploy.docker.Dockerfile: given node/],
    [`${base}@sha256:abc`, ['cpu', 'a:1'], /NODE_IMAGE in .*: given/],
    [`${pinned}0`, ['cpu', 'a:1'], /NODE_IMAGE in .*: given/],
    [pinned, ['build', 'a:1'], /TARGET: given build/],
    [pinned, ['cpu'], /usage: npm run image:release/],
  ] as const) {
    const { status, stderr, stdout } = checkout(from).run(...given);
    assert.deepEqual([status, String(stdout)], [78, '']);
    assert.match(String(stderr), reason);
  }
  const { run, folder } = checkout();
  writeFileSync(join(folder, 'new'), '');
  assert.match(String(run('cpu', 'a:1').stderr), /the checkout has changes/);
});

const bom = {
  ...{ bomFormat: 'CycloneDX', specVersion: '1.5', version: 1 },
  metadata: { component: { purl: 'pkg:npm/lockstep@0.1.0' } },
  components: [{ 'bom-ref': 'a@1.0.0', name: 'a', version: '1.0.0', purl: 'pkg:npm/a@1.0.0' }],
};
const dpkg = `Package: libc6
Status: install ok installed
Architecture: amd64
Version: 2.36-9+deb12u10
Description: a library
 of many lines

Package: gone
Status: deinstall ok config-files
Architecture: all
Version: 1
`;

test('the list of software has npm packages, those of Debian, wheels and Node, each once', () => {
  const folder = testFolder();
  const put = (path: string, text: string): void => {
    mkdirSync(join(folder, path, '..'), { recursive: true });
    writeFileSync(join(folder, path), text);
  };
  const module = (name: string, version: string): string => JSON.stringify({ name, version });
  put('status', dpkg);
  put('modules/npm/package.json', module('npm', '11.0.0'));
  put('modules/npm/node_modules/@s/b/package.json', module('@s/b', '2.0.0'));
  put('modules/npm/node_modules/a/package.json', module('a', '1.0.0'));
  put('modules/npm/node_modules/a/test/package.json', module('no-package', '9.9.9'));
  put('modules/lockstep/package.json', module('lockstep', '0.1.0'));
  put(
    'wheels/x/Jax_Cuda.Plugin-1.dist-info/METADATA',
    'Name: Jax_Cuda.Plugin\nVersion: 1+a\n\nName: z',
  );
  const { stdout, stderr } = spawnSync(
    process.execPath,
    [
      ...[packageFile('bin/sbom.js'), '--dpkg', join(folder, 'status')],
      ...['--modules', join(folder, 'modules'), '--wheels', join(folder, 'wheels')],
    ],
    { input: JSON.stringify(bom), encoding: 'utf8' },
  );
  assert.equal(stderr, '');
  const made = JSON.parse(stdout) as { components: { purl: string }[] };
  const purls = made.components.map(({ purl }) => purl.replace(/debian-.*$/, 'debian-N'));
  assert.deepEqual(purls, [
    'pkg:npm/a@1.0.0',
    'pkg:deb/debian/libc6@2.36-9%2Bdeb12u10?arch=amd64&distro=debian-N',
    `pkg:generic/node@${process.versions.node}`,
    'pkg:npm/%40s/b@2.0.0',
    'pkg:npm/npm@11.0.0',
    'pkg:pypi/jax-cuda-plugin@1%2Ba',
  ]);
});
