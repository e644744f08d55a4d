// The files below deploy/k8s that are made from the objects that `lockstep launch` sends, so that
// the two can't differ: the base's manifests, its spec and launch.json, and each overlay as patches
// over the base. Of the components only Prometheus' rules are, from deploy/prometheus; the others
// and the base's kustomization.yaml are written by hand.

import { readFileSync } from 'node:fs';
import { parse, stringify } from 'yaml';
import { packageFile, packageVersion } from '../../shared/paths.js';
import { openPreset } from '../../shared/spec/load.js';
import type { LaunchParameters } from './launch-parameters.js';
import { launchText, type Manifest } from './objects/root.js';
import { printObjects, runObjects, yamlForm } from './objects/run-objects.js';

/** A folder below deploy/k8s and the run that it describes. */
interface ManifestFolder {
  readonly folder: string;
  /** For people who choose one. */
  readonly about: string;
  readonly parameters: LaunchParameters;
  readonly specText: string;
}

const datasetUrl = 's3://lockstep/datasets/faces';
const paper = openPreset('paper', [`dataset.url=${datasetUrl}`]);
const demo = openPreset('demo', [`dataset.url=${datasetUrl}`, 'engine.threads=1']);
const onGpus = openPreset('paper', [`dataset.url=${datasetUrl}`, 'engine.name=tensorflow']);
const name = 'lockstep';

const baseParameters: LaunchParameters = {
  ...{ name, namespace: 'default', runUrl: 's3://lockstep/runs/faces-1' },
  ...{ image: `lockstep:${packageVersion()}`, workers: 2, coordinators: 2, gpusPerWorker: 0 },
  ...{ cpusPerWorker: String(paper.spec.engine.threads), memoryPerWorker: '4Gi' },
  ...{ s3Secret: 'lockstep-s3', s3Region: 'us-east-1' },
  tlsSecret: 'lockstep-coordinator-tls,lockstep-worker-tls',
};

const base: ManifestFolder = {
  ...{ folder: 'base', about: '', parameters: baseParameters, specText: paper.text },
};

const overlays: readonly ManifestFolder[] = [
  {
    folder: 'overlays/local',
    about: 'A small run on CPUs, on the preset `demo`, with an S3 server in the cluster.',
    specText: demo.text,
    parameters: {
      ...{ ...baseParameters, namespace: name, runUrl: 's3://lockstep/runs/local-1' },
      ...{ cpusPerWorker: '1', memoryPerWorker: '1Gi', s3Endpoint: 'http://s3:9000' },
    },
  },
  {
    folder: 'overlays/gpu',
    about: 'Four workers with a GPU each, on the image with CUDA.',
    specText: onGpus.text,
    parameters: {
      ...{ ...baseParameters, namespace: name, image: `${baseParameters.image}-gpu`, workers: 4 },
      ...{ gpusPerWorker: 1, memoryPerWorker: '16Gi' },
    },
  },
  {
    folder: 'overlays/kueue',
    about: 'Both Jobs wait for Kueue, in the LocalQueue `lockstep` of the namespace, up to a day.',
    specText: paper.text,
    parameters: { ...baseParameters, namespace: name, queue: name },
  },
];

/** The base and its overlays. */
export const manifestFolders: readonly ManifestFolder[] = [base, ...overlays];

/** Paths below deploy/k8s with their texts. */
export function manifestFiles(): ReadonlyMap<string, string> {
  return new Map([
    ['base/run.yaml', base.specText],
    ['base/launch.json', launchText(base.parameters)],
    ...baseManifests(),
    ['components/prometheus/rules.yaml', prometheusRule()],
    ...overlays.map((overlay): [string, string] => [
      `${overlay.folder}/kustomization.yaml`,
      printOverlay(overlay),
    ]),
  ]);
}

const heading = '# Written by `npm run manifests`: the objects that `lockstep launch` sends.\n';

/** A kustomization of the base with a patch for each object that differs from the base's. */
function printOverlay({ about, parameters, specText }: ManifestFolder): string {
  const { namespace } = parameters;
  const before = plainObjects({ ...base.parameters, namespace }, base.specText);
  const after = plainObjects(parameters, specText);
  const patches = after.flatMap((object, i) => {
    const { kind, metadata } = object;
    const operations = differences(before[i], object, '');
    if (operations.length === 0) return [];
    // Holds always: kustomize cuts the newlines at the end of a patch, which a text's may be.
    operations.push({ op: 'test', path: '/kind', value: kind });
    const target = { kind, name: metadata.name };
    return [{ target, patch: stringify(operations, yamlForm) }];
  });
  const kustomization = {
    ...{ apiVersion: 'kustomize.config.k8s.io/v1beta1', kind: 'Kustomization' },
    ...{ namespace, resources: ['../../base'], patches },
  };
  return `# ${about}\n${heading}${stringify(kustomization, yamlForm)}`;
}

/** As YAML has them: without keys whose value is undefined, and without a namespace. */
function plainObjects(parameters: LaunchParameters, specText: string): Manifest[] {
  return runObjects(parameters, specText).map(
    (object) => parse(printObjects([withoutNamespace(object)])) as Manifest,
  );
}

/** The alerts as an object of the Prometheus operator, which other clusters do not know. */
function prometheusRule(): string {
  const text = readFileSync(packageFile('deploy/prometheus/alerts.yaml'), 'utf8');
  const [, ...rules] = text.slice(text.indexOf('\ngroups:')).trimEnd().split('\n');
  const labels = { 'app.kubernetes.io/name': name, 'app.kubernetes.io/part-of': name };
  const object = {
    ...{ apiVersion: 'monitoring.coreos.com/v1', kind: 'PrometheusRule' },
    metadata: { name, labels },
  };
  return [
    '# Written by `npm run manifests` from deploy/prometheus/alerts.yaml.',
    `${stringify(object, yamlForm)}spec:`,
    ...rules.map((line) => `  ${line}`),
    '',
  ].join('\n');
}

interface Operation {
  readonly op: 'add' | 'remove' | 'replace' | 'test';
  readonly path: string;
  readonly value?: unknown;
}

/** JSON patch (RFC 6902) from one value to another; a list grows at its end or is replaced. */
function differences(before: unknown, after: unknown, path: string): Operation[] {
  if (before === undefined) return [{ op: 'add', path, value: after }];
  if (after === undefined) return [{ op: 'remove', path }];
  const [was, is] = [entriesOf(before), entriesOf(after)];
  const isList = Array.isArray(before) || Array.isArray(after);
  if (was === undefined || is === undefined || (isList && was.size > is.size))
    return before === after ? [] : [{ op: 'replace', path, value: after }];
  return [...new Set([...was.keys(), ...is.keys()])].flatMap((key) => {
    const isNew = isList && !was.has(key);
    const name = isNew ? '-' : key.replaceAll('~', '~0').replaceAll('/', '~1');
    return differences(was.get(key), is.get(key), `${path}/${name}`);
  });
}

function entriesOf(value: unknown): ReadonlyMap<string, unknown> | undefined {
  if (typeof value !== 'object' || value === null) return undefined;
  return new Map(Object.entries(value));
}

const fileOf: Readonly<Record<string, string>> = {
  ServiceAccount: 'access',
  Role: 'access',
  RoleBinding: 'access',
  Lease: 'lease',
  NetworkPolicy: 'network-policies',
};

function baseManifests(): [string, string][] {
  const objects = runObjects(baseParameters, '').filter(({ kind }) => kind !== 'ConfigMap');
  const groups = new Map<string, Manifest[]>();
  for (const object of objects.map(withoutNamespace)) {
    const file = fileOf[object.kind] ?? componentOf(object);
    groups.set(file, [...(groups.get(file) ?? []), object]);
  }
  return [...groups].map(([file, group]) => [`base/${file}.yaml`, heading + printObjects(group)]);
}

function componentOf({ metadata }: Manifest): string {
  return metadata.labels?.['app.kubernetes.io/component'] === 'worker' ? 'workers' : 'coordinator';
}

/** The overlay says where. */
function withoutNamespace(object: Manifest): Manifest {
  const { namespace: _, ...metadata } = object.metadata;
  return { ...object, metadata };
}
