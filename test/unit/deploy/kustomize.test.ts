// What kustomize makes of the base, the overlays and the component: the very objects that
// `lockstep launch` sends with the parameters in their launch.json.

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { test } from 'node:test';
import { parse, parseAllDocuments } from 'yaml';
import { launchParametersSchema } from '../../../cli/kubernetes/launch-parameters.js';
import { manifestFolders } from '../../../cli/kubernetes/manifests.js';
import { rootKeys } from '../../../cli/kubernetes/names.js';
import { printObjects, runObjects } from '../../../cli/kubernetes/objects/run-objects.js';
import { packageFile } from '../../../shared/paths.js';

const options = { encoding: 'utf8', timeout: 30_000 } as const;
/** Components came with kustomize 3.7; kubectl has them since 1.21. */
const version = spawnSync('kubectl', ['version', '--client', '-o', 'json'], options);
const hasKustomize = version.status === 0 && version.stdout.includes('"kustomizeVersion"');
const skip = hasKustomize ? false : 'kubectl with kustomize is missing';

interface Rendered {
  readonly kind: string;
  readonly metadata: { readonly name: string; readonly namespace?: string };
  readonly data?: Readonly<Record<string, string>>;
  readonly spec?: unknown;
}

function render(folder: string): Rendered[] {
  const { status, stdout, stderr } = spawnSync('kubectl', ['kustomize', folder], options);
  assert.equal(status, 0, stderr);
  return parseAllDocuments(stdout).map((document) => document.toJS() as Rendered);
}

const byName = (objects: readonly Rendered[]): ReadonlyMap<string, Rendered> =>
  new Map(objects.map((one) => [`${one.kind} ${one.metadata.name}`, one]));

/** As YAML has it: without keys whose value is undefined. */
const plain = (objects: Parameters<typeof printObjects>[0]): Rendered[] =>
  parseAllDocuments(printObjects(objects)).map((document) => document.toJS() as Rendered);

for (const { folder, parameters } of manifestFolders)
  test(`${folder} is what a launch with its launch.json sends`, { skip }, () => {
    const rendered = byName(render(packageFile(`deploy/k8s/${folder}`)));
    const root = rendered.get('ConfigMap lockstep-run');
    const launched = launchParametersSchema.parse(JSON.parse(root?.data?.[rootKeys.launch] ?? ''));
    assert.deepEqual(launched, launchParametersSchema.parse(parameters));
    const sent = byName(plain(runObjects(launched, root?.data?.[rootKeys.spec] ?? '')));
    assert.deepEqual([...rendered.keys()].sort(), [...sent.keys()].sort());
    for (const [name, object] of sent) {
      const { namespace: _, ...metadata } = object.metadata;
      const place = folder === 'base' ? {} : { namespace: 'lockstep' };
      assert.deepEqual(
        rendered.get(name),
        { ...object, metadata: { ...metadata, ...place } },
        name,
      );
    }
  });

test('the component adds NATS, the way to it, and its address', { skip }, (t) => {
  const folder = realpathSync(mkdtempSync(join(tmpdir(), 'lockstep-overlay-')));
  t.after(() => rmSync(folder, { recursive: true }));
  const place = (name: string): string => relative(folder, packageFile(`deploy/k8s/${name}`));
  const kustomization = `namespace: faces\nresources: ['${place('overlays/gpu')}']\ncomponents: ['${place('components/nats')}']\n`;
  writeFileSync(join(folder, 'kustomization.yaml'), kustomization);
  const objects = render(folder);
  assert.ok(objects.every(({ metadata }) => metadata.namespace === 'faces'));
  const rendered = byName(objects);
  for (const name of [
    'StatefulSet lockstep-nats',
    'Service lockstep-nats',
    'NetworkPolicy lockstep-nats',
  ])
    assert.ok(rendered.has(name), name);
  const [coordinators, policy] = ['Job', 'NetworkPolicy'].map((kind) =>
    JSON.stringify(rendered.get(`${kind} lockstep-coordinator`)),
  );
  assert.match(coordinators ?? '', /"LOCKSTEP_NATS_URL","value":"nats:\/\/lockstep-nats:4222"/);
  assert.match(policy ?? '', /"port":4222.*"app.kubernetes.io\/name":"nats"/);
});

test('the overlay of the docs is rendered', { skip }, (t) => {
  const folder = realpathSync(mkdtempSync(join(tmpdir(), 'lockstep-overlay-')));
  t.after(() => rmSync(folder, { recursive: true }));
  const overlay = documentedOverlay();
  const { configMapGenerator } = parse(overlay) as { configMapGenerator: { files: string[] }[] };
  for (const file of configMapGenerator[0]?.files ?? []) writeFileSync(join(folder, file), 'mine');
  const gpu = relative(folder, packageFile('deploy/k8s/overlays/gpu'));
  writeFileSync(join(folder, 'kustomization.yaml'), overlay.replace('../gpu', gpu));
  const rendered = render(folder);
  assert.ok(rendered.every(({ metadata }) => metadata.namespace === 'faces'));
  const root = rendered.find(({ kind }) => kind === 'ConfigMap');
  assert.equal(root?.data?.['run.yaml'], 'mine');
  const jobs = rendered.filter(({ kind }) => kind === 'Job').map((job) => JSON.stringify(job));
  for (const job of jobs) assert.match(job, /"image":"registry.example.com\/lockstep:0.1.0-gpu"/);
  assert.ok(jobs.some((job) => job.includes('--run=s3://my-bucket/runs/faces-1')));
});

/** The only block of YAML in the page. */
function documentedOverlay(): string {
  const page = readFileSync(packageFile('docs/kubernetes.md'), 'utf8');
  const blocks = [...page.matchAll(/^```yaml\n(.*?)^```$/gms)].map(([, block]) => block ?? '');
  assert.equal(blocks.length, 1);
  return blocks[0] ?? '';
}
