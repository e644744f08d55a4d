// Runs launched on a real control plane, whose pods are processes of this checkout, end in the bytes
// of the same training on one machine, whatever happens to their pods on the way.

import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, afterEach, before, describe, it } from 'node:test';
import { CoordinationV1Api, type V1Pod } from '@kubernetes/client-node';
import { packFaces, printSpec, tinyRun } from '../support/tiny-run.js';
import { runLockstep, type CommandResult } from '../support/lockstep-command.js';
import { openS3Place, type S3Place } from '../support/servers.js';
import { until } from '../support/until.js';
import { restricted, startCluster, tellFailure, type Cluster } from './cluster.js';
import { skipWithoutControlPlane } from './control-plane.js';

const namespace = 'faces';
/** Steps enough for everything that is to happen meanwhile. */
const longSteps = 600;

/** The leader's status of the run, from the annotation of its Lease. */
interface Told {
  readonly step: number;
  readonly workers: readonly { readonly id: string; readonly state: string }[];
}

describe('launched runs', { skip: skipWithoutControlPlane() }, () => {
  let cluster: Cluster;
  let place: S3Place;
  let folder: string;
  const environment = (): Record<string, string | undefined> => ({
    LOCKSTEP_S3_ENDPOINT: place.options.endpoint,
    AWS_ACCESS_KEY_ID: place.options.accessKeyId,
    AWS_SECRET_ACCESS_KEY: place.options.secretAccessKey,
    KUBECONFIG: cluster.plane.kubeconfig,
  });
  const lockstep = async (args: readonly string[], timeoutMs = 400_000): Promise<CommandResult> => {
    const result = await runLockstep(args, folder, environment(), timeoutMs);
    assert.equal(result.code, 0, `${args.join(' ')}: ${result.stderr}`);
    return result;
  };
  /** The command that launches a spec on workers with a GPU each. */
  const launch = (spec: string, name: string, workers: number, ...more: string[]): string[] => [
    ...['launch', '-f', spec, '--image', 'lockstep:test', '--namespace', namespace],
    ...['--name', name, '--run', `s3://${place.bucket}/runs/${name}`, '--workers', `${workers}`],
    // The nodes' GPUs are numbers only.
    ...[
      '--gpus-per-worker',
      '1',
      '--provider',
      'cpu',
      '--s3-secret',
      's3',
      '--s3-endpoint',
      place.options.endpoint,
    ],
    ...['--json', ...more],
  ];
  const writeSpec = (file: string, steps?: number): Promise<void> =>
    writeFile(join(folder, file), printSpec(tinyRun(`s3://${place.bucket}/faces`, steps)));
  /** The parameters' digest after training on this machine alone. */
  const trainedHere = async (spec: string): Promise<unknown> =>
    (await lockstep(['train', '-f', spec, '--json'])).lines.at(-1)?.['sha256'];
  const lease = (name: string) =>
    cluster.plane
      .config()
      .makeApiClient(CoordinationV1Api)
      .readNamespacedLease({ namespace, name });
  const told = async (name: string): Promise<Told | undefined> => {
    const { metadata } = await lease(name);
    const text = metadata?.annotations?.['lockstep.dev/status'];
    return text === undefined ? undefined : (JSON.parse(text) as Told);
  };
  const stepOf = async (name: string): Promise<number> => (await told(name))?.step ?? 0;
  /** Waits until the run has made so many more steps. */
  const goesOn = async (name: string, steps = 10, timeoutMs = 60_000): Promise<void> => {
    const from = await stepOf(name);
    const isOn = async (): Promise<boolean> => (await stepOf(name)) >= from + steps;
    await until(isOn, `${name} goes on after step ${from}`, timeoutMs);
  };
  const ready = async (name: string, component: string): Promise<V1Pod[]> => {
    const labels = `app.kubernetes.io/instance=${name},app.kubernetes.io/component=${component}`;
    return (await cluster.pods(namespace, labels)).filter(
      ({ metadata, status }) =>
        metadata?.deletionTimestamp === undefined &&
        status?.conditions?.some(({ type, status: is }) => type === 'Ready' && is === 'True'),
    );
  };
  const hasReady = (name: string, workers: number): Promise<void> =>
    until(
      async () => (await ready(name, 'worker')).length === workers,
      `${name} has ${workers} ready workers`,
      90_000,
    );
  const worker = async (name: string): Promise<string> =>
    (await ready(name, 'worker'))[0]?.metadata?.name ?? assert.fail('no worker is ready');

  before(async () => {
    place = await openS3Place();
    folder = await mkdtemp(join(tmpdir(), 'lockstep-launch-'));
    await packFaces(`s3://${place.bucket}/faces`, folder, 17, { s3: place.options });
    await writeSpec('short.yaml');
    await writeSpec('long.yaml', longSteps);
    cluster = await startCluster();
    await cluster.plane.createNamespace(namespace, restricted);
    const { accessKeyId = '', secretAccessKey = '' } = place.options;
    const keys = [`AWS_ACCESS_KEY_ID=${accessKeyId}`, `AWS_SECRET_ACCESS_KEY=${secretAccessKey}`];
    const literals = keys.map((key) => `--from-literal=${key}`);
    await cluster.plane.ask(['-n', namespace, 'create', 'secret', 'generic', 's3', ...literals]);
  });
  after(async () => {
    await cluster?.close();
    await place.close();
    await rm(folder, { recursive: true });
  });
  afterEach((test) => tellFailure(test, cluster));

  it('end in the bytes of the local run', async () => {
    const { lines } = await lockstep(launch('short.yaml', 'short', 3));
    assert.equal(lines.at(-1)?.['sha256'], await trainedHere('short.yaml'));
    await lockstep(['cancel', `k8s://${namespace}/short`]);
  });

  it('do so although pods go, nodes go, leaders go, and the number of workers changes', async () => {
    const name = 'long';
    const run = `k8s://${namespace}/${name}`;
    await lockstep(launch('long.yaml', name, 3, '--detach'));
    await hasReady(name, 3);
    await goesOn(name, 2);

    // A worker is deleted.
    await cluster.plane.ask(['-n', namespace, 'delete', 'pod', await worker(name), '--wait=false']);
    await goesOn(name);
    await hasReady(name, 3);

    // A worker is evicted.
    const evicted = await worker(name);
    await cluster.core.createNamespacedPodEviction({
      ...{ namespace, name: evicted },
      body: { metadata: { namespace, name: evicted } },
    });
    await goesOn(name);

    // The leader is killed.
    const [leader] = await ready(name, 'coordinator');
    const terms = (await lease(name)).spec?.leaseTransitions ?? 0;
    const pid = cluster.agent.pid(namespace, leader?.metadata?.name ?? '');
    process.kill(pid ?? assert.fail('the leader runs'), 'SIGKILL');
    const hasNext = async (): Promise<boolean> =>
      ((await lease(name)).spec?.leaseTransitions ?? 0) > terms;
    await until(hasNext, 'the other coordinator leads', 40_000);
    await goesOn(name);

    // More workers, and fewer.
    await lockstep(['scale', run, '--workers', '5']);
    await hasReady(name, 5);
    await goesOn(name);
    await lockstep(['scale', run, '--workers', '2']);
    await hasReady(name, 2);
    await goesOn(name);

    // It is cancelled, and nothing is left; launched again, it goes on.
    await lockstep(['cancel', run]);
    const kinds =
      'configmap,job,pod,service,lease,serviceaccount,role,rolebinding,networkpolicy,pdb';
    const label = `app.kubernetes.io/instance=${name}`;
    assert.equal(await cluster.plane.ask(['-n', namespace, 'get', kinds, '-l', label]), '');

    await lockstep(launch('long.yaml', name, 3, '--detach'));
    await hasReady(name, 3);
    await goesOn(name);
    await cluster.loseNode('node-a');
    await goesOn(name, 10, 120_000);
    const { lines } = await lockstep(['resume', run, '--json']);
    assert.equal(lines.at(-1)?.['step'], longSteps + 3);
    assert.equal(lines.at(-1)?.['sha256'], await trainedHere('long.yaml'));
    for (const job of [`${name}-worker`, `${name}-coordinator`]) {
      const condition = 'jsonpath={.status.conditions[?(@.type=="Complete")].status}';
      const isComplete = async (): Promise<boolean> =>
        (await cluster.plane.ask(['-n', namespace, 'get', 'job', job, '-o', condition])) === 'True';
      await until(isComplete, `the Job ${job} is complete`, 60_000);
    }
  });
});
