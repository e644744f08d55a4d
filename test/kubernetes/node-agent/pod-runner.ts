// One pod on its node, from the binding to the end: volumes, containers, SIGTERM and the
// grace period when it is deleted, and its status all the while.

import {
  ApiException,
  PatchStrategy,
  setHeaderOptions,
  type CoreV1Api,
  type V1Container,
  type V1ContainerStatus,
  type V1Pod,
  type V1PodCondition,
  type V1PodStatus,
} from '@kubernetes/client-node';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { ContainerRunner, type ContainerLog, type Start, type Surroundings } from './container.js';
import {
  environmentOf,
  expand,
  makeVolumes,
  mountsOf,
  rewritePaths,
  type Sources,
} from './pod-inputs.js';

/** What a pod gets from its node. */
export interface PodPlace {
  readonly podIp: string;
  readonly hostIp: string;
  /** A folder of its own: home of its processes and of its volumes. */
  readonly root: string;
  readonly sources: Sources;
  readonly writer: PodWriter;
  /** The command of an image, which a container's `command` replaces. */
  entrypoint(image: string): readonly string[];
  /** Variables that stand for what a container runtime and a cluster give a process. */
  platform(pod: V1Pod): Promise<Readonly<Record<string, string>>>;
}

/** Lines of each container that are shown after a failure. */
const tailLines = 6;

export class PodRunner {
  readonly #place: PodPlace;
  readonly #startTime = new Date();
  readonly #containers: readonly ContainerRunner[];
  #pod: V1Pod;
  #conditions: readonly V1PodCondition[] = [];
  #isStopping = false;
  #isAbandoned = false;
  #isOver = false;

  constructor(pod: V1Pod, place: PodPlace) {
    this.#pod = pod;
    this.#place = place;
    const around: Surroundings = {
      start: (container) => this.#start(container),
      onChange: () => this.#publish(),
    };
    this.#containers = (pod.spec?.containers ?? []).map((one) => new ContainerRunner(one, around));
  }

  get pod(): V1Pod {
    return this.#pod;
  }

  get podIp(): string {
    return this.#place.podIp;
  }

  /** What a container has written. */
  log(container: string): ContainerLog | undefined {
    return this.#containers.find(({ name }) => name === container)?.log;
  }

  /** Process of a container; undefined when it is not running. */
  pid(container?: string): number | undefined {
    return this.#containers.find(
      ({ name, pid }) => pid !== undefined && name === (container ?? name),
    )?.pid;
  }

  /** The last lines of its containers, and how they ended. */
  describe(): string {
    const parts = this.#containers.map(({ name, exitCode, log }) => {
      const tail = log.lines.slice(-tailLines).map(({ text }) => `    ${text}\n`);
      const title = `${this.#pod.metadata?.name} ${name}`;
      return `--- ${title}: ${exitCode ?? 'not ended'}\n${tail.join('')}`;
    });
    return parts.join('');
  }

  /** Runs the pod to its end, and, when it was deleted, takes it from the API. */
  async run(): Promise<void> {
    await mkdir(this.#place.root, { recursive: true });
    this.#publish();
    await Promise.all(this.#containers.map((container) => container.run()));
    await this.#finish();
  }

  /** Takes a newer version of the object; one that is being deleted is stopped. */
  update(pod: V1Pod): void {
    this.#pod = pod;
    if (pod.metadata?.deletionTimestamp === undefined || this.#isAbandoned) return;
    const graceMs = (pod.metadata.deletionGracePeriodSeconds ?? 30) * 1000;
    this.#isStopping = true;
    for (const container of this.#containers) container.stop(graceMs);
    // Deleted after its end.
    if (this.#isOver) void this.#place.writer.remove();
  }

  /** The object is gone, or the node is: nothing runs on, and nothing is written any more. */
  abandon(): void {
    this.#isAbandoned = true;
    this.#place.writer.close();
    for (const container of this.#containers) container.kill();
  }

  async #finish(): Promise<void> {
    if (this.#isAbandoned) return;
    this.#isOver = true;
    this.#publish();
    await this.#place.writer.settled();
    if (this.#isStopping) await this.#place.writer.remove();
  }

  async #start(container: V1Container): Promise<Start> {
    const { root, podIp, hostIp, sources } = this.#place;
    const pod: V1Pod = {
      ...this.#pod,
      status: { ...this.#pod.status, podIP: podIp, hostIP: hostIp },
    };
    await makeVolumes(pod, root, sources);
    const mounts = mountsOf(container, root);
    const values = await environmentOf(pod, container, sources);
    const rewrite = (text: string): string => rewritePaths(text, mounts);
    const own = Object.entries(values).map(([name, value]) => [name, rewrite(value)]);
    const tmp = mounts.find(({ mountPath }) => mountPath === '/tmp')?.folder ?? join(root, 'tmp');
    await mkdir(tmp, { recursive: true });
    const platform = await this.#place.platform(pod);
    const { image = '', command, args = [] } = container;
    const given = [...(command ?? []), ...args].map((text) => rewrite(expand(text, values)));
    return {
      container,
      podIp,
      cwd: root,
      env: { HOME: root, TMPDIR: tmp, ...platform, ...(Object.fromEntries(own) as typeof values) },
      // The path of what stands for an image is one of this machine's.
      argv: command === undefined ? [...this.#place.entrypoint(image), ...given] : given,
      rewrite,
    };
  }

  #publish(): void {
    if (this.#isAbandoned) return;
    const { podIp, hostIp, writer } = this.#place;
    const containers = this.#containers.map((container) => container.status());
    const status = podStatus(containers, this.#isOver);
    const now = new Date();
    // The time of a condition is that of its last change.
    this.#conditions = status.conditions.map((condition) => {
      const before = this.#conditions.find(({ type }) => type === condition.type);
      const isSame = before?.status === condition.status;
      return { ...condition, lastTransitionTime: (isSame && before.lastTransitionTime) || now };
    });
    writer.write({
      ...{ ...status, conditions: [...this.#conditions], startTime: this.#startTime },
      ...{ podIP: podIp, podIPs: [{ ip: podIp }], hostIP: hostIp, hostIPs: [{ ip: hostIp }] },
    });
  }
}

/** The status; conditions have no times yet. Others' (PodScheduled) stay: it is merged by type. */
function podStatus(containers: V1ContainerStatus[], isOver: boolean) {
  const isReady = !isOver && containers.every(({ ready }) => ready);
  const hasStarted = containers.some(({ state }) => state?.waiting === undefined);
  const isGood = containers.every(({ state }) => state?.terminated?.exitCode === 0);
  const phase = isOver ? (isGood ? 'Succeeded' : 'Failed') : hasStarted ? 'Running' : 'Pending';
  const reason = isOver ? 'PodCompleted' : isReady ? undefined : 'ContainersNotReady';
  const condition = (type: string, holds: boolean, why?: string): V1PodCondition => ({
    type,
    status: holds ? 'True' : 'False',
    // null removes what an earlier state said.
    reason: why ?? (null as unknown as string),
  });
  const conditions = [
    condition('PodReadyToStartContainers', true),
    condition('Initialized', true),
    condition('ContainersReady', isReady, reason),
    condition('Ready', isReady, reason),
  ];
  return { phase, containerStatuses: containers, conditions };
}

export interface PodWriter {
  write(status: V1PodStatus): void;
  /** Resolves when the last status was taken, or there is nobody to take it. */
  settled(): Promise<void>;
  /** Deletes the object, which the API server keeps until then. */
  remove(): Promise<void>;
  close(): void;
}

/** Pause after a write that failed. */
const retryMs = 200;

function isAnotherPod(error: unknown): boolean {
  if (!(error instanceof ApiException)) return false;
  return error.code === 404 || (error.code === 409 && /recondition/.test(String(error.body)));
}

/** A writer for the pod of that uid. */
export function createPodWriter(api: CoreV1Api, { metadata = {} }: V1Pod): PodWriter {
  const { name = '', namespace = '', uid = '' } = metadata;
  const merge = setHeaderOptions('Content-Type', PatchStrategy.StrategicMergePatch);
  let next: V1PodStatus | undefined;
  let writing: Promise<void> | undefined;
  let isClosed = false;
  /** Repeats until it was done, or the pod is gone or another one. */
  const persist = async (action: () => Promise<unknown>): Promise<void> => {
    while (!isClosed) {
      try {
        await action();
        return;
      } catch (error) {
        if (isAnotherPod(error)) isClosed = true;
        else await sleep(retryMs);
      }
    }
  };
  const drain = async (): Promise<void> => {
    while (next !== undefined && !isClosed)
      await persist(async () => {
        const body = { metadata: { uid }, status: next };
        next = undefined;
        try {
          await api.patchNamespacedPodStatus({ name, namespace, body }, merge);
        } catch (error) {
          next ??= body.status;
          throw error;
        }
      });
    writing = undefined;
  };
  return {
    write(status) {
      next = status;
      writing ??= drain();
    },
    settled: async () => writing,
    remove: () =>
      persist(() =>
        api.deleteNamespacedPod({
          ...{ name, namespace },
          body: { gracePeriodSeconds: 0, preconditions: { uid } },
        }),
      ),
    close: () => void (isClosed = true),
  };
}
