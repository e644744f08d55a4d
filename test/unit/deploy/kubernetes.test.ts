// What runs in a cluster says what the programs say: arguments, ports, exit codes, environment,
// times. Looked at in the base's files, which are what `lockstep launch` sends.

import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import type { V1ContainerPort } from '@kubernetes/client-node';
import { manifestFiles, manifestFolders } from '../../../cli/kubernetes/manifests.js';
import {
  launchParametersSchema,
  requireLaunchable,
} from '../../../cli/kubernetes/launch-parameters.js';
import { runObjects } from '../../../cli/kubernetes/objects/run-objects.js';
import { ownedObjects } from '../../../cli/kubernetes/names.js';
import { defaultElectionTiming } from '../../../coordinator/core/election.js';
import { parseLeaseUrl } from '../../../shared/kubernetes/lease-place.js';
import { packageFile } from '../../../shared/paths.js';
import { exitCodes } from '../../../shared/exit-codes.js';
import { parseSpec } from '../../../shared/spec/load.js';
import {
  base,
  containerOf,
  expand,
  parseCommandLine,
  podOf,
  readBase,
  readJob,
  readKustomization,
  readManifests,
  readPolicy,
  readService,
} from './manifests.js';

const coordinator = readJob('lockstep-coordinator');
const workers = readJob('lockstep-worker');
const jobs = [coordinator, workers];
const component = (name: string) => ({
  'app.kubernetes.io/name': 'lockstep',
  'app.kubernetes.io/instance': 'lockstep',
  'app.kubernetes.io/component': name,
});

const { version } = JSON.parse(readFileSync(packageFile('package.json'), 'utf8')) as {
  version: string;
};

const downward = { POD_IP: '10.0.0.9', POD_NAMESPACE: 'training', POD_NAME: 'p' };
const coordinatorArgs = parseCommandLine(expand(containerOf(coordinator).args ?? [], downward));
const workerArgs = parseCommandLine(
  expand(containerOf(workers).args ?? [], { ...downward, JOB_COMPLETION_INDEX: '7' }),
);

test('the files are what a launch sends: npm run manifests writes them anew', () => {
  for (const [path, text] of manifestFiles())
    assert.equal(readFileSync(packageFile(`deploy/k8s/${path}`), 'utf8'), text, path);
  const { resources } = readKustomization();
  for (const file of resources) assert.ok(manifestFiles().has(`base/${file}`), file);
  for (const { parameters, specText, folder } of manifestFolders)
    requireLaunchable(parameters, parseSpec(specText, folder).spec);
});

test('the kustomization names files that exist, and every manifest carries the labels', () => {
  const { resources, configMapGenerator } = readKustomization();
  for (const file of [...resources, ...configMapGenerator.flatMap(({ files }) => files)])
    assert.ok(existsSync(packageFile(`${base}/${file}`)), file);
  for (const { kind, metadata } of readManifests()) {
    const { 'app.kubernetes.io/component': _, ...labels } = metadata.labels;
    assert.deepEqual(
      labels,
      {
        'app.kubernetes.io/name': 'lockstep',
        'app.kubernetes.io/instance': 'lockstep',
        'app.kubernetes.io/part-of': 'lockstep',
        'app.kubernetes.io/version': version,
        'app.kubernetes.io/managed-by': 'lockstep',
      },
      `${kind} ${metadata.name}`,
    );
  }
});

test('a cancel looks for every object that a launch makes', () => {
  const [{ parameters } = assert.fail()] = manifestFolders;
  const made = runObjects({ ...parameters, name: 'a' }, '').map(({ kind, metadata }) => [
    kind,
    metadata.name,
  ]);
  assert.deepEqual([['ConfigMap', 'a-run'], ...ownedObjects('a')].sort(), made.sort());
});

test('all but the root are owned by the root, and gone before it is', () => {
  const [{ parameters } = assert.fail()] = manifestFolders;
  const [root, ...owned] = runObjects({ ...parameters, name: 'a' }, '', { uid: 'the-uid' });
  assert.equal(root?.metadata.ownerReferences, undefined);
  for (const { metadata } of owned) {
    const owner = { apiVersion: 'v1', kind: 'ConfigMap', name: 'a-run', uid: 'the-uid' };
    assert.deepEqual(
      metadata.ownerReferences,
      [{ ...owner, blockOwnerDeletion: true }],
      metadata.name,
    );
  }
});

test('the programs take the arguments they are given', () => {
  assert.equal(coordinatorArgs.command, 'coordinator');
  const { values } = coordinatorArgs;
  assert.equal(values['file'], '/etc/lockstep/run.yaml');
  assert.match(String(values['run']), /^s3:\/\//);
  assert.deepEqual([values['json'], values['standby'], values['ifExists']], [true, true, 'resume']);
  const lease = readManifests().find(({ kind }) => kind === 'Lease');
  assert.deepEqual(parseLeaseUrl(String(values['lease'])), {
    ...{ namespace: 'training', name: lease?.metadata.name },
  });
  assert.equal(workerArgs.command, 'worker');
  assert.equal(workerArgs.values['id'], 'worker-7');
});

test('an argument the programs do not know would be noticed', () => {
  const args = expand(containerOf(coordinator).args ?? [], downward);
  assert.throws(() => parseCommandLine([...args, '--replicas=2']), /Unknown argument: replicas/);
  assert.throws(() => parseCommandLine(['worker', '--id=a']), /Missing required.*coordinator/);
  assert.throws(() => expand(['$(NODE_NAME)'], {}), /NODE_NAME/);
});

test('as many workers are made as the coordinator waits for and the spec allows', () => {
  const { batch, engine } = parseSpec(readBase('run.yaml'), 'run.yaml').spec;
  const { workers: launched } = launchParametersSchema.parse(JSON.parse(readBase('launch.json')));
  assert.deepEqual(
    [workers.completions, workers.parallelism, coordinatorArgs.values['workers']],
    [launched, launched, launched],
  );
  assert.ok(launched <= batch.microShards);
  assert.equal(containerOf(workers).resources?.requests?.['cpu'], String(engine.threads));
  // A Job without completions ends when one coordinator has succeeded and the others are gone.
  assert.deepEqual([coordinator.completions, coordinator.parallelism], [undefined, 2]);
});

test('the spec is mounted where the coordinator looks for it', () => {
  const mount = containerOf(coordinator).volumeMounts?.find(({ name }) => name === 'spec');
  const [generated] = readKustomization().configMapGenerator;
  const volume = podOf(coordinator).volumes?.find(({ name }) => name === 'spec');
  const items = [{ key: 'run.yaml', path: 'run.yaml' }];
  assert.deepEqual(volume?.configMap, { name: generated?.name, items });
  assert.deepEqual(generated?.files, ['run.yaml', 'launch.json']);
  assert.equal(`${mount?.mountPath}/run.yaml`, coordinatorArgs.values['file']);
});

test('each program finds the certificates of its own Secret, and may only read them', () => {
  const sides = [
    { job: coordinator, args: coordinatorArgs, secretName: 'lockstep-coordinator-tls' },
    { job: workers, args: workerArgs, secretName: 'lockstep-worker-tls' },
  ];
  for (const { job, args, secretName } of sides) {
    const volume = podOf(job).volumes?.find(({ name }) => name === 'tls');
    assert.deepEqual(volume?.secret, { secretName, defaultMode: 0o440 });
    const mount = containerOf(job).volumeMounts?.find(({ name }) => name === 'tls');
    assert.deepEqual(mount, { name: 'tls', mountPath: args.values['tlsDir'], readOnly: true });
  }
});

test('ports, probes and names agree between arguments, containers, services and policies', () => {
  const sides = [
    { job: coordinator, args: coordinatorArgs, service: 'lockstep-coordinator' },
    { job: workers, args: workerArgs, service: 'lockstep-workers' },
  ];
  for (const { job, args, service } of sides) {
    const [{ name, containerPort }, ...others] = (containerOf(job).ports ?? assert.fail()) as [
      V1ContainerPort,
      ...V1ContainerPort[],
    ];
    // On the pod's own address, which others reach it by: a probe comes there, too.
    const listens = String(args.values['listen']).split(',');
    assert.equal(listens[0], `10.0.0.9:${containerPort}`);
    // Where a forwarded port ends; workers have nothing that is asked for there.
    const more = job === coordinator ? [`127.0.0.1:${containerPort}`] : [];
    assert.deepEqual(listens.slice(1), more);
    assert.deepEqual(containerOf(job).readinessProbe?.tcpSocket, { port: name });
    const { ports, selector } = readService(service);
    const all = [{ name, containerPort }, ...others];
    assert.deepEqual(
      ports,
      all.map((port) => ({
        ...{ name: port.name, port: port.containerPort },
        ...{ targetPort: port.name, protocol: 'TCP' },
      })),
    );
    // What finds pods by annotations comes where the program answers.
    const metrics = others.find((port) => port.name === 'metrics')?.containerPort;
    assert.equal(args.values['metrics'], `10.0.0.9:${metrics}`);
    assert.deepEqual(job.template.metadata?.annotations, {
      'prometheus.io/scrape': 'true',
      'prometheus.io/port': String(metrics),
      'prometheus.io/path': '/metrics',
    });
    for (const [key, value] of Object.entries(selector ?? {}))
      assert.equal(job.template.metadata?.labels?.[key], value, `${service} selects by ${key}`);
    assert.deepEqual(selector, component(containerOf(job).name));
    assert.deepEqual(podOf(job).topologySpreadConstraints?.length, 1);
  }
  // The page is on the pod's loopback: only `port-forward` comes there.
  const page = containerOf(coordinator).ports?.find(({ name }) => name === 'page');
  assert.equal(coordinatorArgs.values['http'], `127.0.0.1:${page?.containerPort}`);
  assert.equal(workerArgs.values['coordinator'], 'lockstep-coordinator:7400');
  assert.equal(podOf(workers).subdomain, 'lockstep-workers');
  assert.equal(readService('lockstep-workers').clusterIP, 'None');
});

test('policies let through what the programs do, and nothing else', () => {
  const to = (name: string) => [{ podSelector: { matchLabels: component(name) } }];
  const tcp = (port: number) => ({ protocol: 'TCP', port });
  const names = { ports: [{ protocol: 'UDP', port: 53 }, tcp(53)] };
  const scrapers = [{ namespaceSelector: { matchLabels: { 'lockstep.dev/metrics': 'true' } } }];
  const scrape = { from: scrapers, ports: [tcp(9464)] };
  const inside = [
    ...['0.0.0.0/8', '10.0.0.0/8', '100.64.0.0/10', '127.0.0.0/8', '169.254.0.0/16'],
    ...['172.16.0.0/12', '192.168.0.0/16'],
  ];
  const blocks = [{ ipBlock: { cidr: '0.0.0.0/0', except: inside } }];
  const internet = { to: blocks, ports: [tcp(443)] };
  assert.deepEqual(readPolicy('lockstep-coordinator'), {
    podSelector: { matchLabels: component('coordinator') },
    policyTypes: ['Ingress', 'Egress'],
    ingress: [{ from: to('worker'), ports: [tcp(7400)] }, scrape],
    // The API server behind its Service or itself; and AWS's object store.
    egress: [names, { ports: [tcp(443), tcp(6443)] }, internet],
  });
  assert.deepEqual(readPolicy('lockstep-worker'), {
    podSelector: { matchLabels: component('worker') },
    policyTypes: ['Ingress', 'Egress'],
    ingress: [{ from: to('worker'), ports: [tcp(7401)] }, scrape],
    egress: [
      { to: to('worker'), ports: [tcp(7401)] },
      { to: to('coordinator'), ports: [tcp(7400)] },
      names,
      internet,
    ],
  });
});

test('a failed pod is judged by the exit codes of the program, and no index runs twice at a time', () => {
  const rules = (containerName: string, ignored: readonly number[]) => [
    {
      action: 'FailJob',
      onExitCodes: { containerName, operator: 'In', values: [exitCodes.configuration] },
    },
    { action: 'Ignore', onExitCodes: { containerName, operator: 'In', values: ignored } },
    { action: 'Ignore', onPodConditions: [{ type: 'DisruptionTarget', status: 'True' }] },
  ];
  const { stopped, drained, interrupted, terminated, superseded } = exitCodes;
  // In ascending order, or the API server refuses the Job.
  const leaving = [stopped, drained, interrupted, terminated];
  assert.deepEqual(workers.podFailurePolicy, { rules: rules('worker', leaving) });
  assert.deepEqual(coordinator.podFailurePolicy, {
    rules: rules('coordinator', [stopped, drained, superseded, interrupted, terminated]),
  });
  assert.deepEqual([workers.completionMode, workers.backoffLimitPerIndex], ['Indexed', 20]);
  for (const job of jobs) {
    assert.equal(job.podReplacementPolicy, 'Failed');
    assert.equal(podOf(job).restartPolicy, 'Never');
    // Else Node is the first process, to which a signal is lost until it listens.
    assert.equal(podOf(job).shareProcessNamespace, true);
  }
});

test('pods have longer to end than leaving in order may take, and leaders as long', () => {
  const [theirs, graceS] = jobs.map((job) => podOf(job).terminationGracePeriodSeconds);
  assert.equal(theirs, graceS);
  const drainS = Number(workerArgs.values['drainTimeout']);
  assert.ok(graceS !== undefined && graceS >= drainS + 30, `${graceS} s for ${drainS} s`);
  // And a lease that was not given back runs out before.
  assert.ok(defaultElectionTiming.leaseMs < drainS * 1000);
});

test('containers set no variable that nobody reads', () => {
  const known = readFileSync(packageFile('shared/environment.ts'), 'utf8');
  for (const job of jobs) {
    const { env = [], envFrom, args } = containerOf(job);
    assert.deepEqual(envFrom, [{ secretRef: { name: 'lockstep-s3' } }]);
    // The first is for people who look into a pod, the second for the SDK.
    const others = ['POD_NAME', 'AWS_REGION'];
    for (const { name } of env.filter((one) => !others.includes(one.name)))
      assert.ok(
        args?.some((arg) => arg.includes(`$(${name})`)) ||
          new RegExp(`^  ${name}: `, 'm').test(known) ||
          (name === 'POD_NAMESPACE' && job === workers),
        name,
      );
  }
});

// Every pod keeps to the Pod Security profile "restricted", and a little more: nothing of its file
// system can be written but /tmp, and only the coordinators have a token of the Kubernetes API.
// https://kubernetes.io/docs/concepts/security/pod-security-standards/#restricted

/** What the profile allows in a pod's volumes, of what is used here. */
const allowedVolumes = ['configMap', 'emptyDir', 'projected', 'secret'];

const names = ['lockstep-coordinator', 'lockstep-worker'];

test('there are no other pods', () => {
  const kinds = readManifests().filter(({ spec }) => JSON.stringify(spec)?.includes('containers'));
  assert.deepEqual(
    kinds.map(({ kind, metadata }) => [kind, metadata.name]),
    names.map((name) => ['Job', name]),
  );
});

for (const name of names) {
  const job = readJob(name);
  const pod = podOf(job);
  const { volumes = [], initContainers = [] } = pod;
  const containers = [...initContainers, ...pod.containers];

  test(`${name} runs as nobody in particular, with no rights to gain`, () => {
    assert.deepEqual(pod.securityContext, {
      runAsNonRoot: true,
      runAsUser: 1000,
      runAsGroup: 1000,
      fsGroup: 1000,
      seccompProfile: { type: 'RuntimeDefault' },
    });
    for (const container of containers)
      assert.deepEqual(
        container.securityContext,
        {
          allowPrivilegeEscalation: false,
          readOnlyRootFilesystem: true,
          capabilities: { drop: ['ALL'] },
        },
        container.name,
      );
  });

  test(`${name} shares nothing with its node`, () => {
    for (const { name: volume, ...sources } of volumes)
      for (const source of Object.keys(sources))
        assert.ok(allowedVolumes.includes(source), `${volume}: ${source}`);
    const written = JSON.stringify(readManifests());
    for (const key of ['hostNetwork', 'hostPID', 'hostIPC', 'hostPort', 'hostPath', 'procMount'])
      assert.ok(!written.includes(`"${key}"`), key);
    const { volumeMounts = [] } = containerOf(job);
    const mounted = volumeMounts.map((mount) => mount.name);
    assert.deepEqual(mounted.sort(), volumes.map((volume) => volume.name).sort());
    assert.ok(volumeMounts.some(({ mountPath }) => mountPath === '/tmp'));
  });

  test(`${name} has an account of its own, and a token only for the Lease`, () => {
    const tokens = volumes.filter((volume) => 'projected' in volume).map((one) => one.name);
    assert.deepEqual(tokens, name === 'lockstep-coordinator' ? ['token'] : []);
    assert.equal(pod.serviceAccountName, name);
    assert.equal(pod.automountServiceAccountToken, false);
    assert.equal(pod.restartPolicy, 'Never');
  });

  test(`${name} says what it needs`, () => {
    for (const { resources, name: container } of containers) {
      assert.deepEqual(Object.keys(resources?.requests ?? {}).sort(), ['cpu', 'memory'], container);
      assert.ok(resources?.limits?.['memory'] !== undefined, container);
    }
  });

  test(`${name} runs the image of this version`, () => {
    for (const { image } of containers) assert.equal(image, `lockstep:${version}`);
  });
}
