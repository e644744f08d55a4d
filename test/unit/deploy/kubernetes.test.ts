// The base for Kubernetes says what the program says: arguments, ports, exit codes, environment.

import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import { packageFile } from '../../../shared/paths.js';
import { exitCodes } from '../../../shared/exit-codes.js';
import { parseSpec } from '../../../shared/spec/load.js';
import { openPreset } from '../../../shared/spec/presets.js';
import {
  base,
  containerOf,
  readBase,
  readJob,
  readKustomization,
  readManifests,
  readPolicy,
  readService,
} from './manifests.js';
import { expand, parseCommandLine } from './command-line.js';

const coordinator = readJob('lockstep-coordinator');
const workers = readJob('lockstep-worker');
const jobs = [coordinator, workers];
const component = (name: string) => ({
  'app.kubernetes.io/name': 'lockstep',
  'app.kubernetes.io/component': name,
});

const coordinatorArgs = parseCommandLine(containerOf(coordinator).args ?? []);
const workerArgs = parseCommandLine(
  expand(containerOf(workers).args ?? [], { JOB_COMPLETION_INDEX: '7', POD_IP: '10.0.0.9' }),
);

test('the kustomization names files that exist, and every manifest carries the labels', () => {
  const { resources, configMapGenerator } = readKustomization();
  for (const file of [...resources, ...configMapGenerator.flatMap(({ files }) => files)])
    assert.ok(existsSync(packageFile(`${base}/${file}`)), file);
  const kinds = readManifests().map(({ kind }) => kind);
  assert.deepEqual(
    kinds.sort(),
    ['Job', 'NetworkPolicy', 'Service', 'ServiceAccount'].flatMap((kind) => [kind, kind]),
  );
  for (const { kind, metadata } of readManifests()) {
    const name = metadata.labels['app.kubernetes.io/component'] ?? '';
    const expected = { ...component(name), 'app.kubernetes.io/part-of': 'lockstep' };
    assert.deepEqual(metadata.labels, expected, `${kind} ${metadata.name}`);
    assert.match(metadata.name, new RegExp(`^lockstep-${name}s?$`));
  }
});

test('the run spec is the preset paper with another dataset', () => {
  const url = 's3://lockstep/datasets/faces';
  assert.equal(
    readBase('run.yaml'),
    openPreset('paper', [`dataset.url=${url}`]).text,
    `lockstep spec paper --set dataset.url=${url} > ${base}/run.yaml`,
  );
});

test('the programs take the arguments they are given', () => {
  assert.equal(coordinatorArgs.command, 'coordinator');
  assert.equal(coordinatorArgs.values['file'], '/etc/lockstep/run.yaml');
  assert.match(String(coordinatorArgs.values['run']), /^s3:\/\//);
  assert.equal(coordinatorArgs.values['json'], true);
  assert.equal(workerArgs.command, 'worker');
  assert.equal(workerArgs.values['id'], 'worker-7');
  assert.equal(workerArgs.values['advertise'], '10.0.0.9');
});

test('an argument the programs do not know would be noticed', () => {
  const args = containerOf(coordinator).args ?? [];
  assert.throws(() => parseCommandLine([...args, '--replicas=2']), /Unknown argument: replicas/);
  assert.throws(() => parseCommandLine(['worker', '--id=a']), /Missing required.*coordinator/);
  assert.throws(() => expand(['$(NODE_NAME)'], {}), /NODE_NAME/);
});

test('as many workers are made as the coordinator waits for and the spec allows', () => {
  const { batch, engine } = parseSpec(readBase('run.yaml'), 'run.yaml').spec;
  assert.equal(coordinatorArgs.values['workers'], workers.completions);
  assert.equal(workers.parallelism, workers.completions);
  assert.ok(workers.completions <= batch.microShards);
  assert.equal(containerOf(workers).resources.requests['cpu'], String(engine.threads));
  assert.deepEqual([coordinator.completions, coordinator.parallelism], [1, 1]);
});

test('the spec is mounted where the coordinator looks for it', () => {
  const mount = containerOf(coordinator).volumeMounts.find(({ name }) => name === 'spec');
  const [generated] = readKustomization().configMapGenerator;
  const volume = coordinator.template.spec.volumes.find(({ name }) => name === 'spec');
  assert.equal(generated?.name, 'lockstep-spec');
  assert.deepEqual(volume?.['configMap'], { name: 'lockstep-spec' });
  assert.equal(`${mount?.mountPath}/${generated?.files[0]}`, coordinatorArgs.values['file']);
});

test('ports and names agree between arguments, containers, services and policies', () => {
  const sides = [
    { job: coordinator, args: coordinatorArgs, service: 'lockstep-coordinator' },
    { job: workers, args: workerArgs, service: 'lockstep-workers' },
  ];
  for (const { job, args, service } of sides) {
    const { name, containerPort } = containerOf(job).ports[0] ?? assert.fail();
    assert.equal(args.values['listen'], `0.0.0.0:${containerPort}`);
    const { ports, selector } = readService(service);
    assert.deepEqual(ports, [{ name, port: containerPort, targetPort: name }]);
    for (const [key, value] of Object.entries(selector))
      assert.equal(job.template.metadata.labels[key], value, `${service} selects by ${key}`);
    assert.deepEqual(selector, component(containerOf(job).name));
  }
  assert.equal(workerArgs.values['coordinator'], 'lockstep-coordinator:7400');
  assert.equal(workers.template.spec.subdomain, 'lockstep-workers');
  assert.equal(readService('lockstep-workers').clusterIP, 'None');
});

test('policies let through what the programs do, and nothing else', () => {
  const to = (name: string) => [{ podSelector: { matchLabels: component(name) } }];
  const tcp = (port: number) => ({ protocol: 'TCP', port });
  const names = { ports: [{ protocol: 'UDP', port: 53 }, tcp(53)] };
  assert.deepEqual(readPolicy('lockstep-coordinator'), {
    podSelector: { matchLabels: component('coordinator') },
    policyTypes: ['Ingress', 'Egress'],
    ingress: [{ from: to('worker'), ports: [tcp(7400)] }],
    egress: [names, { ports: [tcp(443), tcp(4222)] }],
  });
  assert.deepEqual(readPolicy('lockstep-worker'), {
    podSelector: { matchLabels: component('worker') },
    policyTypes: ['Ingress', 'Egress'],
    ingress: [{ from: to('worker'), ports: [tcp(7401)] }],
    egress: [
      { to: to('worker'), ports: [tcp(7401)] },
      { to: to('coordinator'), ports: [tcp(7400)] },
      names,
      { ports: [tcp(443)] },
    ],
  });
});

test('a failed pod is judged by the exit codes of the program, and no index runs twice at a time', () => {
  assert.equal(workers.completionMode, 'Indexed');
  assert.equal(workers.backoffLimitPerIndex, 20);
  const onExitCode = (code: number) => ({
    containerName: containerOf(workers).name,
    operator: 'In',
    values: [code],
  });
  assert.deepEqual(workers.podFailurePolicy, {
    rules: [
      { action: 'FailJob', onExitCodes: onExitCode(exitCodes.configuration) },
      { action: 'Ignore', onExitCodes: onExitCode(exitCodes.drained) },
      { action: 'Ignore', onPodConditions: [{ type: 'DisruptionTarget', status: 'True' }] },
    ],
  });
  assert.equal(coordinator.backoffLimit, 0);
  assert.deepEqual(
    jobs.map((job) => job.podReplacementPolicy),
    ['Failed', 'Failed'],
  );
});

test('the coordinator has as long to end as the workers whose checkpoint it commits', () => {
  const [coordinators, theirs] = jobs.map((job) => job.template.spec.terminationGracePeriodSeconds);
  assert.equal(coordinators, theirs);
  // The default of --drain-timeout, after which a worker just leaves.
  assert.ok((theirs ?? 0) > 2 * 20);
});

test('containers set no variable that nobody reads', () => {
  const known = readFileSync(packageFile('shared/environment.ts'), 'utf8');
  const { configMapGenerator } = readKustomization();
  const environment = configMapGenerator.find(({ name }) => name === 'lockstep-environment');
  const names = (environment?.literals ?? []).map((literal) => literal.split('=', 1)[0] ?? '');
  assert.deepEqual(names, ['AWS_REGION', 'LOCKSTEP_S3_ENDPOINT', 'LOCKSTEP_NATS_URL']);
  for (const name of names) assert.match(known, new RegExp(`^  ${name}: `, 'm'));
  for (const job of jobs) {
    const container = containerOf(job);
    assert.deepEqual(container.envFrom, [
      { configMapRef: { name: 'lockstep-environment' } },
      { secretRef: { name: 'lockstep-s3', optional: true } },
    ]);
    for (const { name } of container.env)
      assert.ok(
        container.args?.some((arg) => arg.includes(`$(${name})`)),
        name,
      );
  }
});
