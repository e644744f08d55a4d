// The manifests of deploy/k8s as somebody without `lockstep launch` uses them: an overlay of one's
// own over `overlays/local`, applied by kubectl.

import assert from 'node:assert/strict';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join, relative } from 'node:path';
import { it } from 'node:test';
import type { V1Job } from '@kubernetes/client-node';
import { stringify } from 'yaml';
import { packageFile } from '../../../shared/paths.js';
import { untilSeen } from '../cluster.js';
import type { CaseContext } from '../context.js';
import { hub, s3Keys } from '../machine/places.js';
import { putCertificates } from '../secrets.js';

const steps = 3;
const namespace = 'lockstep';

/** S3 under the name that the overlay has for it. */
const s3 = [
  {
    ...{ apiVersion: 'v1', kind: 'Service', metadata: { name: 's3' } },
    spec: { ports: [{ port: hub.s3Port, protocol: 'TCP' }] },
  },
  {
    ...{ apiVersion: 'discovery.k8s.io/v1', kind: 'EndpointSlice', addressType: 'IPv4' },
    metadata: { name: 's3-1', labels: { 'kubernetes.io/service-name': 's3' } },
    ports: [{ port: hub.s3Port, protocol: 'TCP' }],
    endpoints: [{ addresses: [hub.address] }],
  },
];

/** Cases of manifests that are applied as they are. */
export function overlayCases({ cluster, files }: CaseContext): void {
  it('a run by `kubectl apply -k` ends in the bytes of the local one', async () => {
    const folder = join(files().folder, 'overlay');
    await mkdir(folder);
    const run = await readFile(await files().path(steps), 'utf8');
    const overlay = {
      ...{ apiVersion: 'kustomize.config.k8s.io/v1beta1', kind: 'Kustomization', namespace },
      resources: [relative(folder, packageFile('deploy/k8s/overlays/local'))],
      images: [{ name: 'lockstep', newName: 'localhost/lockstep', newTag: 'cpu' }],
      patches: [
        {
          target: { kind: 'ConfigMap', name: 'lockstep-run' },
          patch: stringify([{ op: 'replace', path: '/data/run.yaml', value: run }]),
        },
      ],
    };
    await writeFile(join(folder, 'kustomization.yaml'), stringify(overlay));
    await cluster().createNamespace(namespace);
    const ask = (...args: string[]): Promise<string> => cluster().ask(['-n', namespace, ...args]);
    const keys = [
      `--from-literal=AWS_ACCESS_KEY_ID=${s3Keys.accessKeyId}`,
      `--from-literal=AWS_SECRET_ACCESS_KEY=${s3Keys.secretAccessKey}`,
    ];
    await ask('create', 'secret', 'generic', 'lockstep-s3', ...keys);
    const certificates = join(files().folder, 'overlay-certificates');
    const made = await cluster().lockstep([
      ...['tls', 'init', certificates, '--run', 'local-1', '--workers', '2'],
    ]);
    assert.equal(made.code, 0, made.stderr);
    await putCertificates(cluster(), namespace, 'lockstep', certificates);
    for (const object of s3)
      await cluster().ask(['-n', namespace, 'apply', '-f', '-'], JSON.stringify(object));
    await ask('apply', '-k', folder);
    const job = `/apis/batch/v1/namespaces/${namespace}/jobs/lockstep-coordinator`;
    const isComplete = async (): Promise<boolean> =>
      (await cluster().get<V1Job>(job)).status?.conditions?.some(
        ({ type, status }) => type === 'Complete' && status === 'True',
      ) === true;
    await untilSeen(isComplete, 'the Job of the coordinators is complete', 300_000);
    const selector = 'app.kubernetes.io/component=coordinator';
    const logs = await ask('logs', '-l', selector, '--tail=-1');
    assert.ok(logs.includes((await files().trainedHere(steps)).sha256), logs);
    await ask('delete', '-k', folder, '--wait=false');
  });
}
