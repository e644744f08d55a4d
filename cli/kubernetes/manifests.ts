// The files below deploy/k8s that are made from the objects that `lockstep launch` sends, so that
// the two can't differ: the base's manifests, and each overlay's spec and launch.json. Patches and
// kustomization.yaml files are written by hand; a test holds what comes out to the same objects.

import { openPreset } from '../../shared/spec/load.js';
import type { LaunchParameters } from './launch-parameters.js';
import { packageVersion } from './names.js';
import type { Manifest } from './objects/root.js';
import { launchText } from './objects/root.js';
import { printObjects, runObjects } from './objects/run-objects.js';

/** A folder below deploy/k8s and the run that it describes. */
export interface ManifestFolder {
  readonly folder: string;
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
};

/** The base and its overlays. */
export const manifestFolders: readonly ManifestFolder[] = [
  { folder: 'base', parameters: baseParameters, specText: paper.text },
  {
    folder: 'overlays/local',
    specText: demo.text,
    parameters: {
      ...{ ...baseParameters, namespace: name, runUrl: 's3://lockstep/runs/local-1' },
      ...{ cpusPerWorker: '1', memoryPerWorker: '1Gi', s3Endpoint: 'http://s3:9000' },
    },
  },
  {
    folder: 'overlays/gpu',
    specText: onGpus.text,
    parameters: {
      ...{ ...baseParameters, namespace: name, image: `${baseParameters.image}-gpu`, workers: 4 },
      ...{ gpusPerWorker: 1, memoryPerWorker: '16Gi' },
    },
  },
  {
    folder: 'overlays/kueue',
    specText: paper.text,
    parameters: { ...baseParameters, namespace: name, queue: name },
  },
];

/** Paths below deploy/k8s with their texts. */
export function manifestFiles(): ReadonlyMap<string, string> {
  const files = manifestFolders.flatMap(({ folder, parameters, specText }) => [
    [`${folder}/run.yaml`, specText] as const,
    [`${folder}/launch.json`, launchText(parameters)] as const,
  ]);
  return new Map([...files, ...baseManifests()]);
}

const heading = `# Written by \`npm run manifests\`: the objects that \`lockstep launch\` sends.
`;

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
