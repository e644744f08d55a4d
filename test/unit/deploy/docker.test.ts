// The Dockerfile against the repository: there is what it copies, and it copies what is needed.

import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import { packageFile } from '../../../shared/paths.js';
import { readJob } from './manifests.js';

const text = readFileSync(packageFile('deploy/docker/Dockerfile'), 'utf8');

/** Instructions with their arguments, continued lines joined, by stage. */
const stages = text
  .replace(/^#.*\n/gm, '')
  .replace(/\\\n\s*/g, '')
  .split(/^(?=FROM )/m)
  .slice(1)
  .map((stage) => stage.split('\n').filter((line) => line !== ''));

const argumentsOf = (stage: readonly string[], instruction: string): string[] =>
  stage
    .filter((line) => line.startsWith(`${instruction} `))
    .map((line) => line.slice(instruction.length + 1));

/** What a stage copies out of the repository. */
const copied = (stage: readonly string[]): string[] =>
  argumentsOf(stage, 'COPY')
    .filter((line) => !line.startsWith('--from'))
    .flatMap((line) => line.split(' ').slice(0, -1));

const [build = [], dependencies = [], final = []] = stages;
const readJson = (file: string) =>
  JSON.parse(readFileSync(packageFile(file), 'utf8')) as Record<string, string[]>;

test('there are three stages on one image of an exact version', () => {
  assert.deepEqual(
    stages.map(([from]) => from),
    ['FROM ${NODE_IMAGE} AS build', 'FROM ${NODE_IMAGE} AS dependencies', 'FROM ${NODE_IMAGE}'],
  );
  assert.match(text, /^ARG NODE_IMAGE=node:22\.\d+\.\d+-bookworm-slim$/m);
});

test('everything that is copied is in the repository', () => {
  const sources = stages.flatMap(copied);
  assert.ok(sources.length > 15, `${sources.length} sources`);
  for (const source of sources) assert.ok(existsSync(packageFile(source)), source);
});

test('all sources but the tests are compiled', () => {
  const { include = [] } = readJson('tsconfig.json');
  const folders = include.filter((folder) => folder !== 'test');
  const files = ['package.json', 'package-lock.json', '.npmrc', 'tsconfig.json'];
  assert.deepEqual(copied(build).sort(), [...files, ...folders].sort());
  assert.deepEqual(argumentsOf(build, 'RUN'), ['npm ci', 'npm run build']);
});

test('the image holds what the npm package holds, and its dependencies', () => {
  const { files = [] } = readJson('package.json');
  const packed = files.filter((file) => !file.startsWith('!'));
  const fromStages = argumentsOf(final, 'COPY').filter((line) => line.startsWith('--from'));
  assert.deepEqual(fromStages, [
    '--from=dependencies /opt/lockstep/node_modules node_modules',
    '--from=build /opt/lockstep/dist dist',
  ]);
  for (const file of packed.filter((one) => one !== 'dist'))
    assert.ok(copied(final).includes(file));
  assert.deepEqual(copied(dependencies), ['package.json', 'package-lock.json', '.npmrc']);
  assert.match(argumentsOf(dependencies, 'RUN')[0] ?? '', /^npm ci --omit=dev /);
});

test('it runs lockstep, as the user that the pods run as', () => {
  const { runAsUser, runAsGroup } = readJob('lockstep-worker').template.spec.securityContext;
  assert.deepEqual(argumentsOf(final, 'USER'), [`${String(runAsUser)}:${String(runAsGroup)}`]);
  assert.deepEqual(argumentsOf(final, 'ENTRYPOINT'), ['["lockstep"]']);
  const link = /^ln -s \/opt\/lockstep\/(\S+) \/usr\/local\/bin\/lockstep$/;
  const target = link.exec(argumentsOf(final, 'RUN')[0] ?? '')?.[1] ?? '';
  assert.deepEqual(readJson('package.json')['bin'], { lockstep: target });
});
