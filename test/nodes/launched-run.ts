// A run on the test cluster as its operator follows it: launched, asked, waited for. Its spec is a
// small one, whose bytes are known from training outside of the cluster.

import assert from 'node:assert/strict';
import { mkdtemp, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { V1Job, V1Lease, V1Pod } from '@kubernetes/client-node';
import { exitCodes } from '../../shared/exit-codes.js';
import { facesFolder } from '../support/pictures.js';
import { printSpec, tinyRun } from '../support/tiny-run.js';
import type { CommandResult } from '../support/lockstep-command.js';
import { bucket, image, s3Secret, untilSeen, type NodeCluster } from './cluster.js';
import { s3Endpoint } from './machine/places.js';

/** Longest wait for pods to be there, and for a run to go on, on a busy machine. */
const podsMs = 180_000;
const stepsMs = 240_000;

/** The leader's status of a run, from the annotation of its Lease. */
interface ToldStatus {
  readonly stage: string;
  readonly step: number;
}

/** The namespace that runs are launched in. */
export const namespace = 'training';

/** Adversarial steps of runs that are disturbed until they are stopped: more than they take. */
export const endless = 10_000;

/** The state of a run after a step. */
export interface Reached {
  readonly step: number;
  /** Of the parameters. */
  readonly sha256: string;
}

/** Specs of so many adversarial steps, by name, in `folder`; and the dataset in the bucket. */
export interface RunFiles {
  readonly folder: string;
  path(steps: number): Promise<string>;
  /** What one process outside of the cluster trains of such a spec, to its end or until `step`. */
  trainedHere(steps: number, step?: number): Promise<Reached>;
}

/** Puts the dataset where the cluster's runs read it. */
export async function prepareRuns(cluster: NodeCluster): Promise<RunFiles> {
  const folder = await mkdtemp(join(tmpdir(), 'lockstep-nodes-'));
  const trained = new Map<string, Promise<Reached>>();
  const dataset = `s3://${bucket}/faces`;
  const packed = await cluster.lockstep(['dataset', 'pack', facesFolder, dataset]);
  assert.equal(packed.code, 0, packed.stderr);
  const written = new Map<number, Promise<string>>();
  const write = async (steps: number): Promise<string> => {
    const file = join(folder, `${steps}.yaml`);
    // Less often than it has by itself: each is a dozen of objects.
    const checkpoint = { everySteps: 20, keep: 3 };
    await writeFile(file, printSpec({ ...tinyRun(dataset, steps), checkpoint }));
    return file;
  };
  const path = (steps: number): Promise<string> => {
    const file = written.get(steps) ?? write(steps);
    written.set(steps, file);
    return file;
  };
  const train = async (name: string, steps: number, step?: number): Promise<Reached> => {
    const args = ['train', '-f', await path(steps), '--run', `file://${folder}/runs/${name}`];
    if (step !== undefined) args.push('--stop-after', `${step}`);
    const { code, lines, stderr } = await cluster.lockstep([...args, '--json'], 600_000);
    assert.equal(code, step === undefined ? exitCodes.ok : exitCodes.stopped, stderr);
    return reachedBy(lines);
  };
  const trainedHere = (steps: number, step?: number): Promise<Reached> => {
    const name = `${steps}-${step ?? 'end'}`;
    const reached = trained.get(name) ?? train(name, steps, step);
    trained.set(name, reached);
    return reached;
  };
  return { folder, path, trainedHere };
}

/** A run that was launched, or will be. */
export interface LaunchedRun {
  readonly name: string;
  /** Its address for `status`, `scale`, `cancel`, `resume`. */
  readonly url: string;
  /** `lockstep launch` with what more is given; ends when the command does. */
  launch(more?: readonly string[], timeoutMs?: number): Promise<CommandResult>;
  /** Runs a command on it, which must end well. */
  command(...args: string[]): Promise<CommandResult>;
  /** The objects of a kind that are the run's. */
  pods(component: 'worker' | 'coordinator'): Promise<V1Pod[]>;
  readyPods(component: 'worker' | 'coordinator'): Promise<V1Pod[]>;
  job(component: 'worker' | 'coordinator'): Promise<V1Job>;
  lease(): Promise<V1Lease>;
  told(): Promise<ToldStatus | undefined>;
  hasReady(workers: number): Promise<void>;
  /** Waits until it has made so many more steps. */
  goesOn(steps?: number): Promise<void>;
  /** The pod of the coordinator that leads. */
  leader(): Promise<V1Pod>;
  /** Waits for its end by `resume`. */
  ends(timeoutMs?: number): Promise<Reached>;
  /** Takes it out of the cluster, and gives the newest of its whole checkpoints. */
  stopped(): Promise<Reached>;
}

/** The run of a name, by the spec at `path`, with so many workers. */
export function launchedRun(
  cluster: NodeCluster,
  name: string,
  path: string,
  workers: number,
): LaunchedRun {
  const url = `k8s://${namespace}/${name}`;
  const folder = `s3://${bucket}/runs/${name}`;
  const launched = [
    ...['launch', '-f', path, '--image', image, '--namespace', namespace, '--name', name],
    ...['--run', folder, '--workers', `${workers}`],
    ...['--s3-secret', s3Secret, '--s3-endpoint', s3Endpoint, '--json'],
    // Requests that two cores hold; what pods use beyond is shared.
    ...['--cpus-per-worker', '100m', '--memory-per-worker', '1Gi'],
  ];
  const selector = (component: string): string =>
    `app.kubernetes.io/instance=${name},app.kubernetes.io/component=${component}`;
  const get = <T>(api: string, kind: string): Promise<T> =>
    cluster.get<T>(`/${api}/namespaces/${namespace}/${kind}`);
  const pods = async (component: string): Promise<V1Pod[]> => {
    const query = `labelSelector=${encodeURIComponent(selector(component))}`;
    const { items } = await get<{ items: V1Pod[] }>('api/v1', `pods?${query}`);
    const age = ({ metadata }: V1Pod): string => `${metadata?.creationTimestamp?.toString()}`;
    return items.sort((a, b) => age(a).localeCompare(age(b)));
  };
  const readyPods = async (component: string): Promise<V1Pod[]> =>
    (await pods(component)).filter(isReady);
  const lease = (): Promise<V1Lease> =>
    get<V1Lease>('apis/coordination.k8s.io/v1', `leases/${name}`);
  const told = async (): Promise<ToldStatus | undefined> => {
    const text = (await lease()).metadata?.annotations?.['lockstep.dev/status'];
    return text === undefined ? undefined : (JSON.parse(text) as ToldStatus);
  };
  const stepOf = async (): Promise<number> => (await told())?.step ?? 0;
  const command = async (args: readonly string[], timeoutMs?: number): Promise<CommandResult> => {
    const result = await cluster.lockstep(args, timeoutMs);
    assert.equal(result.code, 0, `${args.join(' ')}: ${result.stderr}`);
    return result;
  };
  return {
    ...{ name, url, pods, readyPods, lease, told },
    launch: (more = [], timeoutMs = 600_000) => command([...launched, ...more], timeoutMs),
    command: (...args) => command(args),
    job: (component) => get<V1Job>('apis/batch/v1', `jobs/${name}-${component}`),
    hasReady: (count) =>
      untilSeen(
        async () => (await readyPods('worker')).length === count,
        `${name} has ${count} ready workers`,
        podsMs,
      ),
    async goesOn(steps = 5) {
      const from = await stepOf();
      const isOn = async (): Promise<boolean> => (await stepOf()) >= from + steps;
      await untilSeen(isOn, `${name} goes on after step ${from}`, stepsMs);
    },
    async leader() {
      const holder = (await lease()).spec?.holderIdentity ?? '';
      const found = (await pods('coordinator')).find(
        ({ metadata }) => metadata?.name !== undefined && holder.includes(metadata.name),
      );
      return found ?? assert.fail(`no pod is ${holder}`);
    },
    async ends(timeoutMs = 600_000) {
      return reachedBy((await command(['resume', url, '--json'], timeoutMs)).lines);
    },
    async stopped() {
      await command(['cancel', url]);
      const { lines } = await command(['checkpoints', 'ls', folder, '--json']);
      return reachedBy(lines.filter(({ state }) => state === 'finished'));
    },
  };
}

/** What the last line says that a command printed. */
export function reachedBy(lines: CommandResult['lines']): Reached {
  const { step, sha256 } = lines.at(-1) ?? assert.fail('it said nothing');
  return { step: Number(step), sha256: String(sha256) };
}

/** True when a pod is ready and not about to leave. */
export function isReady({ metadata, status }: V1Pod): boolean {
  const conditions = status?.conditions ?? [];
  return (
    metadata?.deletionTimestamp === undefined &&
    conditions.some(({ type, status: is }) => type === 'Ready' && is === 'True')
  );
}

/** The name of a pod. */
export const nameOf = (pod: V1Pod | undefined): string =>
  pod?.metadata?.name ?? assert.fail('no such pod');

/** The address of a pod. */
export const addressOf = (pod: V1Pod | undefined): string =>
  pod?.status?.podIP ?? assert.fail('no pod');
