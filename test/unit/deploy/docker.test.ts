// The Dockerfile against the repository: there is what it copies, it copies what is needed, and
// what it runs is a command of Lockstep's. No container engine is needed.

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { createServer, type AddressInfo } from 'node:net';
import { test } from 'node:test';
import { commands, wordOf } from '../../../cli/commands.js';
import { manifestFolders } from '../../../cli/kubernetes/manifests.js';
import { ports } from '../../../cli/kubernetes/names.js';
import { userId } from '../../../cli/kubernetes/objects/pod.js';
import { packageFile } from '../../../shared/paths.js';
import {
  argumentsOf,
  copied,
  dockerfileText,
  inContext,
  stage,
  stages,
} from '../../support/dockerfile.js';
import { containerOf, readBase, readJob } from './manifests.js';

interface PackageJson {
  readonly version: string;
  readonly files: readonly string[];
  readonly bin: Readonly<Record<string, string>>;
  readonly scripts: Readonly<Record<string, string>>;
}
const readJson = <T>(file: string) => JSON.parse(readFileSync(packageFile(file), 'utf8')) as T;
const packageJson = readJson<PackageJson>('package.json');

test('all stages begin with one image of an exact version, or with each other', () => {
  const names = stages.map(({ name }) => name);
  assert.deepEqual(names, [
    ...['build', 'dependencies', 'program', 'tensorflow', 'gpu', 'plugin', 'xla', 'cpu'],
  ]);
  for (const { from, name } of stages)
    assert.ok(
      from === '${NODE_IMAGE}' || names.indexOf(from) < names.indexOf(name),
      `${name}: ${from}`,
    );
  for (const { lines } of stages)
    for (const [, from = ''] of lines.join('\n').matchAll(/--from=(\S+)/g))
      assert.ok(names.includes(from));
  assert.match(
    dockerfileText,
    /^ARG NODE_IMAGE=node:24\.\d+\.\d+-bookworm-slim@sha256:[0-9a-f]{64}$/m,
  );
});

test('everything that is copied is in the repository, and given to the builder', () => {
  const sources = stages.flatMap(copied);
  assert.ok(sources.length > 15, `${sources.length} sources`);
  for (const source of sources) {
    assert.ok(existsSync(packageFile(source)), source);
    assert.ok(inContext().includes(source), `${source} is ignored`);
  }
  assert.deepEqual([...new Set(sources)].sort(), [...inContext()].sort());
});

test('all sources but the tests are compiled', () => {
  const { include } = readJson<{ include: string[] }>('tsconfig.json');
  const folders = include.filter((folder) => folder !== 'test');
  const files = ['package.json', 'package-lock.json', '.npmrc', 'tsconfig.json'];
  assert.deepEqual(copied(stage('build')).sort(), [...files, ...folders].sort());
  assert.deepEqual(argumentsOf(stage('build'), 'RUN'), ['npm ci', 'npm run build']);
});

test('the images hold what the npm package holds, and its dependencies', () => {
  const packed = packageJson.files.filter((file) => !file.startsWith('!'));
  const program = stage('program');
  for (const file of packed.filter((one) => one !== 'dist'))
    assert.ok(copied(program).includes(file), file);
  const fromStages = (name: string) =>
    argumentsOf(stage(name), 'COPY').filter((line) => line.startsWith('--from'));
  assert.deepEqual(fromStages('program'), ['--from=build /opt/lockstep/dist dist']);
  assert.deepEqual(fromStages('cpu'), [
    '--from=dependencies /opt/lockstep/sbom.cdx.json sbom.cdx.json',
    '--from=dependencies /opt/lockstep/node_modules node_modules',
  ]);
  assert.deepEqual(fromStages('gpu'), [
    '--from=tensorflow /opt/tensorflow /opt/tensorflow',
    '--from=tensorflow /opt/lockstep/sbom.cdx.json sbom.cdx.json',
    '--from=tensorflow /opt/lockstep/node_modules node_modules',
  ]);
  assert.deepEqual(fromStages('xla'), [
    '--from=plugin /opt/cache /opt/cache',
    '--from=plugin /opt/lockstep/sbom.cdx.json sbom.cdx.json',
    '--from=plugin /opt/lockstep/node_modules node_modules',
  ]);
  const files = ['package.json', 'package-lock.json', '.npmrc', 'bin'];
  assert.deepEqual(copied(stage('dependencies')), files);
  assert.match(argumentsOf(stage('dependencies'), 'RUN')[0] ?? '', /^npm ci --omit=dev /);
});

test('all images run lockstep, as the user that the pods run as', () => {
  const program = stage('program');
  assert.deepEqual(argumentsOf(program, 'USER'), [`${userId}:${userId}`]);
  assert.deepEqual(argumentsOf(program, 'ENTRYPOINT'), ['["lockstep"]']);
  const link = /^ln -s \/opt\/lockstep\/(\S+) \/usr\/local\/bin\/lockstep$/;
  const target = link.exec(argumentsOf(program, 'RUN')[0] ?? '')?.[1] ?? '';
  assert.deepEqual(packageJson.bin, { lockstep: target });
  for (const name of ['cpu', 'gpu', 'xla']) {
    assert.equal(stage(name).from, 'program');
    for (const changed of ['USER', 'ENTRYPOINT', 'CMD'])
      assert.deepEqual(argumentsOf(stage(name), changed), [], `${name} ${changed}`);
  }
});

test('what the stages and the pods run are commands of lockstep', () => {
  const words = commands.map(wordOf);
  for (const [name, engine, given] of [
    ['tensorflow', 'tensorflow', '--gpu --library-cache /opt/tensorflow'],
    ['plugin', 'xla', '--cuda 12'],
  ] as const) {
    const runs = argumentsOf(stage(name), 'RUN');
    const setup = runs.find((run) => run.startsWith('node bin/lockstep.js')) ?? '';
    assert.equal(setup, `node bin/lockstep.js setup ${engine} ${given}`);
    assert.ok(words.includes('setup'));
    const help = spawnSync(process.execPath, [
      ...[packageFile('bin/lockstep.js'), 'setup', engine, '--help'],
    ]);
    for (const [flag] of given.matchAll(/--[a-z-]+/g))
      assert.match(help.stdout.toString(), new RegExp(flag));
  }
  // Where the set-up puts the plugin is where the image looks for it.
  const [cache = ''] = argumentsOf(stage('plugin'), 'ENV');
  assert.ok(argumentsOf(stage('xla'), 'ENV')[0]?.includes(cache));
  for (const job of ['lockstep-coordinator', 'lockstep-worker'])
    assert.ok(words.includes(containerOf(readJob(job)).args?.[0] ?? ''), job);
});

test('the scripts build the targets under the names that the manifests ask for', () => {
  const tags = (['cpu', 'gpu', 'xla'] as const).map((target) => {
    const script = packageJson.scripts[target === 'cpu' ? 'image' : `image:${target}`] ?? '';
    const build = `^docker build -f deploy/docker/Dockerfile --target ${target} -t (\\S+) \\.$`;
    const [, tag = ''] = new RegExp(build).exec(script) ?? [];
    return tag.replace('$npm_package_version', packageJson.version);
  });
  const images = Object.fromEntries(
    manifestFolders.map(({ folder, parameters }) => [folder, parameters.image]),
  );
  const xla = `lockstep:${packageJson.version}-xla`;
  assert.deepEqual(tags, [images['base'], images['overlays/gpu'], xla]);
  assert.equal(tags[0], containerOf(readJob('lockstep-worker')).image);
  assert.equal((JSON.parse(readBase('launch.json')) as { image: string }).image, tags[0]);
});

test('the health check asks for the ports of the programs, and sees who listens', async (t) => {
  const [, command = ''] =
    /^HEALTHCHECK .* CMD (\[.*\])$/m.exec(stage('program').lines.join('\n')) ?? [];
  const [node, script, ...asked] = JSON.parse(command) as string[];
  assert.deepEqual([node, script], ['node', '/opt/lockstep/bin/health.js']);
  assert.deepEqual(asked, [String(ports.control), String(ports.exchange)]);
  const check = (port: number) =>
    spawnSync(process.execPath, [packageFile('bin/health.js'), '1', String(port)]).status;
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.after(() => server.close());
  const { port } = server.address() as AddressInfo;
  assert.equal(check(port), 0);
  await new Promise((resolve) => server.close(resolve));
  assert.equal(check(port), 1);
});
