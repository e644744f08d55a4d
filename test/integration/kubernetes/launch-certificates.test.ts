// The certificates of a launched run, against the fake API server: one Secret that goes with the
// run, of which each pod gets its own part, and no key anywhere else; or a Secret that was given,
// which is looked at before anything is made.

import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, test } from 'node:test';
import type { V1Job, V1KeyToPath } from '@kubernetes/client-node';
import { type ClusterClient } from '../../../cli/kubernetes/client/cluster-client.js';
import type { LaunchParameters } from '../../../cli/kubernetes/launch-parameters.js';
import { launchRun, resumeRun } from '../../../cli/kubernetes/launch.js';
import { mostNamedWorkers } from '../../../cli/kubernetes/objects/certificates.js';
import { requireRun } from '../../../cli/kubernetes/run-state.js';
import { openPreset } from '../../../shared/spec/load.js';
import { createAuthority, type Authority } from '../../../shared/tls/authority.js';
import { openCertificates, type Holder } from '../../../shared/tls/certificates.js';
import { identitiesOf, type Identity } from '../../../shared/tls/identity.js';
import { impatientClient } from '../../support/kubernetes/impatient-client.js';
import { FakeApiServer, type FakeObject } from '../../support/kubernetes/fake-api-server.js';

const run = { namespace: 'n', name: 'faces' };
const data = 'dataset.url=s3://bucket/faces';
const document = openPreset('demo', [data]);
const wanted: LaunchParameters = {
  ...{ ...run, runUrl: 's3://bucket/runs/faces-7', image: 'lockstep:1', workers: 2 },
  ...{ coordinators: 2, gpusPerWorker: 0, cpusPerWorker: '1', memoryPerWorker: '1Gi' },
  ...{ s3Region: 'us-east-1', s3Secret: 's3' },
};
const secretsPath = '/api/v1/namespaces/n/secrets';
const secretPath = `${secretsPath}/faces-tls`;
const rootPath = '/api/v1/namespaces/n/configmaps/faces-run';
const jobPath = (name: string) => `/apis/batch/v1/namespaces/n/jobs/faces-${name}`;

let server: FakeApiServer;
let client: ClusterClient;

beforeEach(async () => {
  server = await new FakeApiServer().listen();
  client = impatientClient(server);
});
afterEach(() => server.close());

const launch = (changes: Partial<LaunchParameters> = {}, spec = document) =>
  launchRun(client, { ...wanted, ...changes }, spec);
const decoded = (text = ''): string => Buffer.from(text, 'base64').toString('utf8');
const podOf = (component: string) =>
  (server.objects.get(jobPath(component)) as V1Job | undefined)?.spec?.template.spec;
const volumeOf = (component: string) =>
  podOf(component)?.volumes?.find(({ name }) => name === 'tls');

/** Gives a Secret to the server; values in PEM. */
function put(name: string, texts: Readonly<Record<string, string>>): void {
  const encoded = Object.entries(texts).map(([key, text]) => [
    key,
    Buffer.from(text).toString('base64'),
  ]);
  const secret = { metadata: { name }, data: Object.fromEntries(encoded) as FakeObject['data'] };
  server.change(`${secretsPath}/${name}`, secret);
}

/** A folder as the kubelet makes it of a pod's volume. */
function mounted(component: string): string {
  const { secretName = '', items } = volumeOf(component)?.secret ?? {};
  const { data: texts = {} } = server.objects.get(`${secretsPath}/${secretName}`) ?? {};
  const whole = Object.keys(texts).map((key): V1KeyToPath => ({ key, path: key }));
  const folder = mkdtempSync(join(tmpdir(), 'lockstep-pod-tls-'));
  for (const { key, path } of items ?? whole) {
    assert.ok(key in texts, `${key} is in the Secret`);
    writeFileSync(join(folder, path), decoded(texts[key]));
  }
  return folder;
}

/** Who a program of the pod is by what it finds there. */
function identityOf(component: string, holder: Holder): readonly Identity[] {
  const folder = mounted(component);
  const certificates = openCertificates({ folder, holder });
  certificates.close();
  rmSync(folder, { recursive: true });
  return certificates.identities();
}

test('a launch makes one Secret that goes with the run, and no key is anywhere else', async () => {
  await launch();
  const { metadata, data: texts = {} } = server.objects.get(secretPath) ?? assert.fail();
  const uid = server.objects.get(rootPath)?.metadata.uid;
  assert.deepEqual(
    metadata.ownerReferences?.map((one) => one.uid),
    [uid],
  );
  const { microShards } = document.spec.batch;
  const workers = Array.from({ length: microShards }, (_, i) => `worker-worker-${i}`);
  const names = ['coordinator', 'observer', 'operator', ...workers];
  assert.deepEqual(
    Object.keys(texts).sort(),
    ['ca.crt', ...names.flatMap((name) => [`${name}.crt`, `${name}.key`])].sort(),
  );
  const leaf = new X509Certificate(decoded(texts['observer.crt']));
  assert.deepEqual(identitiesOf(leaf.subjectAltName), [
    { run: 'faces-7', role: 'observer', worker: undefined },
  ]);
  assert.ok(leaf.checkIssued(new X509Certificate(decoded(texts['ca.crt']))));
  const days = (Date.parse(leaf.validTo) - Date.now()) / 86_400_000;
  assert.ok(days > 399 && days < 401, `${days} days`);
  const keys = Object.entries(texts).filter(([name]) => name.endsWith('.key'));
  for (const { method, path, body } of server.requests)
    if (path !== secretsPath) {
      assert.ok(!body.includes('PRIVATE KEY'), `${method} ${path}`);
      for (const [name, text] of keys) assert.ok(!body.includes(text), `${name} in ${path}`);
    }
});

test('each pod gets its own certificates, and not the keys of the other program', async () => {
  await launch();
  const place = { run: 'faces-7', worker: undefined };
  const coordinator = identityOf('coordinator', { role: 'coordinator' });
  assert.deepEqual(coordinator, [{ ...place, role: 'coordinator' }]);
  const worker = identityOf('worker', { role: 'worker', worker: 'worker-1' });
  assert.deepEqual(worker, [{ ...place, role: 'worker', worker: 'worker-1' }]);
  const keysOf = (component: string) =>
    volumeOf(component)?.secret?.items?.flatMap(({ key }) => (/\.key$/.test(key) ? [key] : []));
  assert.deepEqual(keysOf('coordinator'), ['coordinator.key']);
  assert.ok(keysOf('worker')?.every((key) => key.startsWith('worker-worker-')));
  assert.throws(() => identityOf('worker', { role: 'coordinator' }), /coordinator.crt/);
  for (const component of ['coordinator', 'worker']) {
    const [container] = podOf(component)?.containers ?? [];
    const { mountPath = '' } = container?.volumeMounts?.find(({ name }) => name === 'tls') ?? {};
    assert.ok(container?.args?.includes(`--tls-dir=${mountPath}`), component);
    assert.equal(volumeOf(component)?.secret?.defaultMode, 0o440);
  }
});

test('a run with more workers than names has one certificate for any, and fits a Secret', async () => {
  for (const [i, microShards] of [mostNamedWorkers, mostNamedWorkers + 1].entries()) {
    const spec = openPreset('demo', [data, `batch.microShards=${microShards}`, 'batch.size=1']);
    const name = `many-${i}`;
    await launchRun(client, { ...wanted, name, runUrl: `s3://bucket/${name}` }, spec);
    const { data: texts = {} } = server.objects.get(`${secretsPath}/${name}-tls`) ?? {};
    const bytes = Object.values(texts).reduce((sum, text) => sum + decoded(text).length, 0);
    assert.ok(bytes < 1024 * 1024, `${bytes} bytes`);
    assert.equal('worker-any.crt' in texts, i === 1);
    assert.equal(`worker-worker-${mostNamedWorkers - 1}.crt` in texts, i === 0);
  }
  const job = server.objects.get('/apis/batch/v1/namespaces/n/jobs/many-1-worker') as V1Job;
  const { items } =
    job.spec?.template.spec?.volumes?.find(({ name }) => name === 'tls')?.secret ?? {};
  assert.deepEqual(
    items?.map(({ key, path }) => [key, path]),
    [
      ['ca.crt', 'ca.crt'],
      ['worker-any.crt', 'tls.crt'],
      ['worker-any.key', 'tls.key'],
    ],
  );
});

test('a resume, and a launch again, leave the Secret as it is', async () => {
  await launch();
  const before = server.objects.get(secretPath);
  for (const name of ['coordinator', 'worker'])
    server.change(jobPath(name), {
      status: { conditions: [{ type: 'Failed', status: 'True', reason: 'X' }] },
    });
  const { action } = await resumeRun(client, await requireRun(client, run), {});
  assert.equal(action, 'resumed');
  assert.equal((await launch()).action, 'running');
  assert.deepEqual(server.objects.get(secretPath), before);
});

test("a Secret that is somebody else's is not taken over, nor read without the right to", async () => {
  put('faces-tls', { 'ca.crt': 'theirs' });
  await assert.rejects(
    launch(),
    /no Secret faces-tls yet; hint: .*--tls-secret faces-tls|no Secret faces-tls yet/,
  );
  assert.equal(decoded(server.objects.get(secretPath)?.data?.['ca.crt']), 'theirs');
  server.remove(rootPath);
  server.remove(secretPath);
  server.inflict({ method: 'GET', path: /\/secrets\//, status: 403, reason: 'Forbidden' });
  await launch();
  assert.equal((await launch()).action, 'running');
});

test('pods talk in clear only if that is asked for', async () => {
  await launch({ insecure: true });
  assert.ok(![...server.objects.keys()].some((path) => path.startsWith(secretsPath)));
  for (const component of ['coordinator', 'worker']) {
    assert.ok(podOf(component)?.containers[0]?.args?.includes('--insecure'));
    assert.equal(volumeOf(component), undefined);
  }
});

/** Certificates by their keys in a Secret, of one authority. */
async function issued(authority: Authority, names: Readonly<Record<string, readonly Identity[]>>) {
  const texts: Record<string, string> = { 'ca.crt': authority.ca };
  for (const [name, identities] of Object.entries(names)) {
    const { cert, key } = await authority.issue(identities);
    Object.assign(texts, { [`${name}.crt`]: cert, [`${name}.key`]: key });
  }
  return texts;
}

test('Secrets that are given are used, and none is made', async () => {
  const authority = await createAuthority('ours', 1);
  const ofRun = { run: 'faces-7' };
  const any: Identity[] = [
    { ...ofRun, role: 'coordinator' },
    { ...ofRun, role: 'worker', worker: '*' },
  ];
  put('both', await issued(authority, { tls: any }));
  await launch({ tlsSecret: 'both', tls: 'control' });
  assert.equal(server.objects.has(secretPath), false);
  assert.deepEqual(volumeOf('worker')?.secret, { secretName: 'both', defaultMode: 0o440 });
  assert.equal(identityOf('worker', { role: 'worker', worker: 'worker-1' }).length, 2);
  assert.ok(podOf('worker')?.containers[0]?.args?.includes('--tls=control'));
  const [leader = assert.fail(), workers = assert.fail()] = any;
  put('leaders', await issued(authority, { coordinator: [leader] }));
  put('crew', await issued(authority, { tls: [workers] }));
  const change = { name: 'two', runUrl: 's3://bucket/other/faces-7', tlsSecret: 'leaders,crew' };
  assert.equal((await launch(change)).action, 'created');
});

test('a given Secret that would not do is refused before anything is made', async () => {
  const authority = await createAuthority('ours', 1);
  const of = (role: 'coordinator' | 'worker', name = 'faces-7'): Identity => ({
    ...{ run: name, role, worker: role === 'worker' ? '*' : undefined },
  });
  const [own, other] = [[of('coordinator'), of('worker')], [of('coordinator', 'x')]];
  const good = await issued(authority, { tls: own });
  const second = await issued(authority, { tls: own });
  const cases: [texts: Record<string, string>, why: RegExp][] = [
    [{}, /one with ca\.crt/],
    [
      await issued(authority, {}),
      /coordinator\.crt and coordinator\.key, or tls\.crt and tls\.key/,
    ],
    [
      await issued(authority, { tls: other }),
      /lockstep:\/\/faces-7\/coordinator; it is of coord.* x/,
    ],
    [{ ...good, 'tls.key': second['tls.key'] ?? '' }, /in tls\.key the key of tls\.crt/],
    [{ ...good, 'tls.crt': 'nonsense' }, /PEM in tls\.crt and tls\.key/],
    [{ ...good, 'ca.key': authority.key }, /without ca\.key/],
    [{ ...good, ...(await issued(authority, { coordinator: own })) }, /without coordinator\.key/],
  ];
  await assert.rejects(
    launch({ tlsSecret: 'none' }),
    /given "none"; allowed: a Secret that is there/,
  );
  for (const [texts, why] of cases) {
    server.remove(`${secretsPath}/given`);
    put('given', texts);
    await assert.rejects(launch({ tlsSecret: 'given' }), (error: Error) => {
      assert.match(error.message, why);
      assert.ok(!error.message.includes('PRIVATE KEY'));
      return true;
    });
  }
  assert.equal(server.objects.has(rootPath), false);
});
