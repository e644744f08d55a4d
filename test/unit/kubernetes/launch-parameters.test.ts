// What can be launched: everything that is wrong is listed at once, before anything is sent.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  requireLaunchable,
  type LaunchParameters,
} from '../../../cli/kubernetes/launch-parameters.js';
import {
  formatClusterRun,
  isClusterRun,
  objectNames,
  parseClusterRun,
} from '../../../cli/kubernetes/names.js';
import { networkPolicies } from '../../../cli/kubernetes/objects/network.js';
import { runObjects } from '../../../cli/kubernetes/objects/run-objects.js';
import { OperatorError } from '../../../shared/problems.js';
import { loadPreset } from '../../../shared/spec/load.js';

const onEngine = (engine: string) =>
  loadPreset('paper', ['dataset.url=s3://bucket/faces', `engine.name=${engine}`]);
const spec = onEngine('tensorflow');
const good: LaunchParameters = {
  ...{ name: 'faces', namespace: 'training', runUrl: 's3://bucket/runs/faces' },
  ...{ image: 'lockstep:1', workers: 4, coordinators: 2, gpusPerWorker: 1 },
  ...{ cpusPerWorker: '500m', memoryPerWorker: '4Gi' },
  ...{ s3Region: 'eu-central-1', s3Secret: 's3', queue: 'gpus', natsUrl: 'nats://nats:4222' },
};

/** Keys of the problems. */
function problems(change: Partial<LaunchParameters>): string[] {
  try {
    requireLaunchable({ ...good, ...change }, spec);
    return [];
  } catch (error) {
    assert.ok(error instanceof OperatorError);
    return error.problems.map(({ key }) => key);
  }
}

test('good parameters are accepted', () => {
  assert.deepEqual(problems({}), []);
  const digest = `registry.example.com:5000/a/lockstep:0.1.0-gpu@sha256:${'a'.repeat(64)}`;
  assert.deepEqual(
    problems({ image: digest, queue: undefined, s3Endpoint: 'https://s3.example.com' }),
    [],
  );
  assert.deepEqual(problems({ s3Secret: undefined, serviceAccount: 'trainer' }), []);
});

test('each is checked', () => {
  const cases: [Partial<LaunchParameters>, string][] = [
    [{ name: 'Faces' }, '--name'],
    [{ name: '1st' }, '--name'],
    [{ name: 'a'.repeat(41) }, '--name'],
    [{ namespace: 'a.b' }, '--namespace'],
    [{ image: 'lockstep 1' }, '--image'],
    [{ image: '' }, '--image'],
    [{ workers: 5 }, '--workers'],
    [{ workers: 0 }, '--workers'],
    [{ workers: 1.5 }, '--workers'],
    [{ coordinators: 0 }, '--coordinators'],
    [{ gpusPerWorker: 2 }, '--gpus-per-worker'],
    [{ lanes: 0 }, '--lanes'],
    [{ lanes: 9 }, '--lanes'],
    [{ cpusPerWorker: '0' }, '--cpus-per-worker'],
    [{ cpusPerWorker: 'four' }, '--cpus-per-worker'],
    [{ memoryPerWorker: '4GB' }, '--memory-per-worker'],
    [{ runUrl: 'file:///runs' }, '--run'],
    [{ s3Endpoint: 'minio:9000' }, '--s3-endpoint'],
    [{ s3Region: 'eu central' }, '--s3-region'],
    [{ natsUrl: 'http://nats' }, '--nats'],
    [{ natsSecret: 'nats' }, '--nats-secret'],
    [{ natsUrl: undefined, natsSecret: 'N' }, '--nats-secret'],
    [{ datasetUrl: 'file:///faces' }, '--dataset'],
    [{ serviceAccount: 'trainer' }, '--service-account'],
    [{ serviceAccountRole: 'arn:aws:iam::123456789012:role/x' }, '--service-account-role'],
    [{ s3Secret: undefined, serviceAccountRole: 'trainer' }, '--service-account-role'],
    [{ s3Secret: 'S3' }, '--s3-secret'],
    [{ privateEndpoints: '10.0.0.0/33' }, '--private-endpoints'],
    [{ privateEndpoints: '10.0.0.0/8,' }, '--private-endpoints'],
    [{ queue: 'a b' }, '--queue'],
    [{ tlsSecret: 'A' }, '--tls-secret'],
    [{ tlsSecret: 'a,b,c' }, '--tls-secret'],
    [{ tlsSecret: 'a,' }, '--tls-secret'],
    [{ insecure: true, tlsSecret: 'a' }, '--insecure'],
    [{ insecure: true, tls: 'control' }, '--insecure'],
  ];
  for (const [change, key] of cases)
    assert.deepEqual(problems(change), [key], JSON.stringify(change));
  assert.deepEqual(problems({ name: 'X', workers: 9, image: '' }), [
    '--name',
    '--image',
    '--workers',
  ]);
});

test('passwords in addresses are refused, and not repeated', () => {
  const change = { natsUrl: 'nats://me:secret@nats:4222', s3Endpoint: 'http://k:secret@s3' };
  assert.deepEqual(problems(change), ['--s3-endpoint', '--nats']);
  assert.throws(
    () => requireLaunchable({ ...good, ...change }, spec),
    (error: Error) => !error.message.includes('secret@') && error.message.includes('//***@nats'),
  );
});

test('a run in a cluster has a name of its own', () => {
  const run = { namespace: 'training', name: 'faces' };
  assert.deepEqual(parseClusterRun(formatClusterRun(run)), run);
  assert.equal(isClusterRun('s3://training/faces'), false);
  for (const bad of ['k8s://faces', 'k8s://a/b/c', 'k8s:///b', 'k8s://a/', 'k8s://A/b', 's3://a/b'])
    assert.throws(() => parseClusterRun(bad), /k8s:\/\/NAMESPACE\/NAME/, bad);
});

test('names of pods and labels fit, with the longest name of a run', () => {
  const names = Object.values(objectNames('a'.repeat(40)));
  for (const name of names) assert.ok(name.length + '-255-xxxxx'.length <= 63, name);
});

test('policies open the ports of the servers that are given, and AWS where it is used', () => {
  interface Rule {
    readonly ports: readonly { readonly port: number }[];
    readonly to?: readonly { readonly ipBlock?: { readonly cidr: string } }[];
  }
  const open = (change: Partial<LaunchParameters>) =>
    networkPolicies(
      { namespace: 'n', name: 'a', uid: undefined },
      { ...good, natsUrl: undefined, ...change },
    ).map((policy) => {
      const { spec: rules } = policy as unknown as { spec: { egress: Rule[] } };
      return rules.egress
        .filter(({ to, ports }) => to?.[0]?.ipBlock !== undefined || !(to || ports[0]?.port === 53))
        .map(({ to = [], ports }) =>
          [...to.map(({ ipBlock }) => ipBlock?.cidr), ...ports.map(({ port }) => port)].join(' '),
        );
    });
  const [api, aws] = ['443 6443', '0.0.0.0/0 443'];
  const node = { s3Secret: undefined };
  const account = { s3Secret: undefined, serviceAccount: 'trainer' };
  const [bus, minio] = ['4222', '9000'];
  const cases: [Partial<LaunchParameters>, string[], string[]][] = [
    [{}, [api, aws], [aws]],
    [{ s3Endpoint: 'http://minio:9000' }, [api, minio], [minio]],
    [{ s3Endpoint: 'http://minio' }, [api, '80'], ['80']],
    [{ s3Endpoint: 'https://minio' }, [api, '443'], ['443']],
    [{ natsUrl: 'nats://nats' }, [api, aws, bus], [aws]],
    [{ natsSecret: 'nats' }, [api, aws, bus], [aws]],
    [node, [api, aws, '169.254.169.254/32 80'], [aws, '169.254.169.254/32 80']],
    [account, [api, aws, '169.254.170.23/32 80'], [aws, '169.254.170.23/32 80']],
    [
      { privateEndpoints: '10.0.0.0/16,10.1.0.7/32' },
      [api, aws, '10.0.0.0/16 10.1.0.7/32 443'],
      [aws, '10.0.0.0/16 10.1.0.7/32 443'],
    ],
  ];
  for (const [change, coordinators, workers] of cases)
    assert.deepEqual(open(change), [coordinators, workers], JSON.stringify(change));
  const role = { s3Secret: undefined, serviceAccountRole: 'arn:aws:iam::123456789012:role/x' };
  assert.deepEqual(open({ ...role, s3Endpoint: 'http://minio:9000' })[1], [minio, aws]);
});

test('lanes have a port each, which is named and let through', () => {
  const textOf = (lanes: number | undefined): string =>
    JSON.stringify(runObjects({ ...good, lanes }, ''));
  const one = textOf(undefined);
  assert.match(one, /"--lanes=1"/);
  assert.ok(!/lane-1|endPort/.test(one));
  const three = textOf(3);
  assert.match(three, /"--lanes=3"/);
  for (const lane of [1, 2])
    assert.match(
      three,
      new RegExp(
        `"containerPort":${7401 + lane},"name":"lane-${lane}"|"name":"lane-${lane}","containerPort":${7401 + lane}`,
      ),
    );
  assert.equal(three.match(/"endPort":7403/g)?.length, 2, 'in and out');
});

test("a role is written on the run's own accounts", () => {
  const role = 'arn:aws:iam::123456789012:role/trainer';
  const change = { s3Secret: undefined, serviceAccountRole: role };
  assert.deepEqual(problems(change), []);
  const accounts = runObjects({ ...good, ...change }, '').filter(
    ({ kind }) => kind === 'ServiceAccount',
  );
  assert.deepEqual(
    accounts.map(({ metadata }) => metadata.annotations),
    Array(2).fill({ 'eks.amazonaws.com/role-arn': role }),
  );
});

test('what is given reaches the pods', () => {
  const text = JSON.stringify(
    runObjects({ ...good, s3Secret: undefined, serviceAccount: 'trainer' }, ''),
  );
  assert.match(text, /"serviceAccountName":"trainer"/);
  assert.ok(!text.includes('"kind":"ServiceAccount","metadata"'));
  assert.ok(!text.includes('secretRef'));
  assert.match(text, /"nvidia.com\/gpu":"1"/);
  assert.match(text, /"kueue.x-k8s.io\/queue-name":"gpus"/);
  assert.equal(text.split('"suspend":true').length - 1, 2);
  assert.match(text, /"name":"LOCKSTEP_NATS_URL","value":"nats:\/\/nats:4222"/);
});

test('a Secret has the address of NATS, and what it has of a login', () => {
  const text = JSON.stringify(runObjects({ ...good, natsUrl: undefined, natsSecret: 'bus' }, ''));
  const refs = [...text.matchAll(/"secretKeyRef":({[^}]*"bus"[^}]*})/g)].map(
    ([, ref = '']) => JSON.parse(ref) as { readonly key: string; readonly optional?: boolean },
  );
  const needed = refs.filter(({ optional }) => optional !== true).map(({ key }) => key);
  assert.deepEqual([...new Set(needed)], ['LOCKSTEP_NATS_URL']);
  for (const key of ['CREDS', 'NKEY', 'CA', 'CERT', 'KEY'])
    assert.ok(
      refs.some((ref) => ref.key === `LOCKSTEP_NATS_${key}`),
      key,
    );
});

test('a worker is given several GPUs where its engine drives them', () => {
  const onXla = onEngine('xla');
  assert.doesNotThrow(() => requireLaunchable({ ...good, gpusPerWorker: 4 }, onXla));
  assert.throws(
    () => requireLaunchable({ ...good, gpusPerWorker: 2 }, spec),
    /--gpus-per-worker: given 2; .*0 to 1 \(.*engine\.name xla/,
  );
  const text = JSON.stringify(runObjects({ ...good, gpusPerWorker: 4 }, ''));
  assert.match(text, /"--provider=cuda","--devices=4"/);
  assert.match(text, /"nvidia.com\/gpu":"4"/);
  assert.match(text, /"name":"UV_THREADPOOL_SIZE","value":"12"/);
  const onRocm = JSON.stringify(runObjects({ ...good, provider: 'rocm' }, ''));
  assert.match(onRocm, /"amd.com\/gpu":"1"/);
});

test('GPUs that the engine or the image can not use are refused with what would work', () => {
  const image = (tag: string) => ({ image: `registry.example.com/lockstep:${tag}` });
  const cases: [string, Partial<LaunchParameters>, RegExp | undefined][] = [
    ['onnx', {}, /--gpus-per-worker: given 1; .*0 with engine.name onnx.*image -gpu.*-xla/],
    ['onnx', { gpusPerWorker: 0 }, undefined],
    ['onnx', { gpusPerWorker: 0, ...image('0.1.0-gpu') }, undefined],
    ['onnx', { provider: 'cuda' }, undefined],
    ['onnx', { provider: 'cpu' }, undefined],
    ['onnx', { provider: 'rocm' }, /--provider: given "?rocm"?; .*cpu, webgpu, cuda/],
    ['tensorflow', image('0.1.0-gpu'), undefined],
    ['tensorflow', image('0.1.0'), /--image: .*lockstep:0\.1\.0-gpu/],
    ['tensorflow', image('0.1.0-xla'), /--image: .*lockstep:0\.1\.0-gpu/],
    ['tensorflow', { gpusPerWorker: 0, ...image('0.1.0') }, /--image: .*-gpu/],
    ['tensorflow', image(`0.1.0@sha256:${'a'.repeat(64)}`), /--image: .*-gpu/],
    ['tensorflow', image('mine'), undefined],
    ['tensorflow', { image: 'registry.example.com/trainer:0.1.0' }, undefined],
    ['xla', image('0.1.0-gpu'), /--image: .*lockstep:0\.1\.0-xla/],
    ['xla', image('0.1.0-xla'), undefined],
  ];
  for (const [engine, change, expected] of cases) {
    const launch = () => requireLaunchable({ ...good, ...change }, onEngine(engine));
    const what = `${engine} ${JSON.stringify(change)}`;
    if (expected === undefined) assert.doesNotThrow(launch, what);
    else assert.throws(launch, expected, what);
  }
});
