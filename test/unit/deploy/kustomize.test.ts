// What kustomize makes of the base, and of the overlay that docs/kubernetes.md shows.

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { test } from 'node:test';
import { parseAllDocuments } from 'yaml';
import { packageFile } from '../../../shared/paths.js';
import { loadPreset } from '../../../shared/spec/presets.js';
import { base, containerOf, jobSchema, readBase, type Job } from './manifests.js';
import { parseCommandLine } from './command-line.js';

const options = { encoding: 'utf8', timeout: 30_000 } as const;
const hasKubectl = spawnSync('kubectl', ['kustomize', '--help'], options).status === 0;
const skip = hasKubectl ? false : 'kubectl is missing';

interface Rendered {
  readonly kind: string;
  readonly metadata: { readonly name: string; readonly namespace?: string };
  readonly data?: Readonly<Record<string, string>>;
  readonly spec: unknown;
}

function render(folder: string): Rendered[] {
  const { status, stdout, stderr } = spawnSync('kubectl', ['kustomize', folder], options);
  assert.equal(status, 0, stderr);
  return parseAllDocuments(stdout).map((document) => document.toJS() as Rendered);
}

function job(rendered: readonly Rendered[], name: string): Job {
  const found = rendered.find((one) => one.kind === 'Job' && one.metadata.name === name);
  return jobSchema.parse(found?.spec);
}

function configMap(rendered: readonly Rendered[], name: string): Rendered {
  const found = rendered.find(
    (one) => one.kind === 'ConfigMap' && one.metadata.name.includes(name),
  );
  return found ?? assert.fail(name);
}

test('the base is rendered, with the spec where the coordinator mounts it', { skip }, () => {
  const rendered = render(packageFile(base));
  const spec = configMap(rendered, 'lockstep-spec');
  assert.deepEqual(spec.data, { 'run.yaml': readBase('run.yaml') });
  const { volumes } = job(rendered, 'lockstep-coordinator').template.spec;
  assert.deepEqual(volumes.find(({ name }) => name === 'spec')?.['configMap'], {
    name: spec.metadata.name,
  });
});

test('the overlay of the docs is rendered', { skip }, (t) => {
  const folder = realpathSync(mkdtempSync(join(tmpdir(), 'lockstep-overlay-')));
  t.after(() => rmSync(folder, { recursive: true }));
  writeFileSync(join(folder, 'run.yaml'), 'the spec');
  const overlay = documentedOverlay().replace('../base', relative(folder, packageFile(base)));
  writeFileSync(join(folder, 'kustomization.yaml'), overlay);

  const rendered = render(folder);
  assert.ok(rendered.every(({ metadata }) => metadata.namespace === 'faces'));
  assert.deepEqual(configMap(rendered, 'lockstep-spec').data, { 'run.yaml': 'the spec' });
  assert.equal(configMap(rendered, 'lockstep-environment').data?.['AWS_REGION'], 'eu-central-1');
  const workers = job(rendered, 'lockstep-worker');
  const { values } = parseCommandLine(
    containerOf(job(rendered, 'lockstep-coordinator')).args ?? [],
  );
  assert.deepEqual([values['workers'], workers.parallelism], [4, workers.completions]);
  assert.ok(workers.completions <= loadPreset('paper').batch.microShards);
  const { initContainers, containers } = workers.template.spec;
  for (const { image } of [...initContainers, ...containers])
    assert.equal(image, 'registry.example.com/lockstep:0.1.0');
});

/** The only block of YAML in the page. */
function documentedOverlay(): string {
  const page = readFileSync(packageFile('docs/kubernetes.md'), 'utf8');
  const blocks = [...page.matchAll(/^```yaml\n(.*?)^```$/gms)].map(([, block]) => block ?? '');
  assert.equal(blocks.length, 1);
  return blocks[0] ?? '';
}
