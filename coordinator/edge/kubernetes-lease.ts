// The run's lease in a Lease object (coordination.k8s.io/v1): asks the election what to do, does
// it, and reports the answers and the time. The object carries, as annotations, the run's status
// for all who may read leases, and how many workers the operator wants.

import { CoordinationV1Api, V1MicroTime, type V1Lease } from '@kubernetes/client-node';
import { randomUUID } from 'node:crypto';
import { hostname } from 'node:os';
import { apiConfiguration, loadCluster, requestError } from '../../shared/kubernetes/api-server.js';
import {
  leaseAnnotations,
  parseLeaseUrl,
  type LeasePlace,
} from '../../shared/kubernetes/lease-place.js';
import { readLeaderStatus, readWantedWorkers } from '../../shared/kubernetes/leader-status.js';
import { ClusterError } from '../../shared/kubernetes/refusal.js';
import {
  defaultElectionTiming,
  elect,
  initialElection,
  nextWakeMs,
  type ElectionEffect,
  type ElectionEvent,
  type ElectionState,
  type ElectionTiming,
  type SeenLease,
} from '../core/election.js';
import type { Lease, LeaseBoard } from './lease.js';

export interface KubernetesLeaseOptions {
  /** k8s://NAMESPACE/NAME */
  readonly url: string;
  /** The run's folder: what the Lease says of another one does not count. */
  readonly runUrl: string;
  /** One line when another holds the lease, or the API server goes away or is back. */
  readonly onNotice: (text: string) => void;
  readonly timing?: ElectionTiming;
  /** Of the cluster; that of this process when not given. */
  readonly kubeconfig?: string;
}

/** Creates the lease of one coordinator, unsent; an OperatorError where there is no cluster. */
export function createKubernetesLease(options: KubernetesLeaseOptions): Lease & LeaseBoard {
  const place = parseLeaseUrl(options.url);
  const { timing = defaultElectionTiming } = options;
  const config = loadCluster({ path: options.kubeconfig });
  const api = new CoordinationV1Api(apiConfiguration(config, timing.requestMs));
  return new KubernetesLease(options, new LeaseObject(api, place, timing), timing);
}

class KubernetesLease implements Lease, LeaseBoard {
  readonly #options: KubernetesLeaseOptions;
  readonly #object: LeaseObject;
  readonly #election: ElectionState;
  #timer: NodeJS.Timeout | undefined;
  #onAcquired: () => void = () => undefined;
  readonly #over: Promise<void>;
  #onOver: () => void = () => undefined;
  #lostListeners: ((reason: string) => void)[] = [];
  #lost: string | undefined;
  #workersListeners: ((workers: number) => void)[] = [];
  #describe: (() => object) | undefined;
  #transitions = 0;
  #workers: number | undefined;
  #saysFinished = false;

  constructor(options: KubernetesLeaseOptions, object: LeaseObject, timing: ElectionTiming) {
    this.#options = options;
    this.#object = object;
    const me = `${hostname()}_${randomUUID()}`;
    this.#election = initialElection(me, performance.now(), timing);
    this.#over = new Promise((resolve) => (this.#onOver = resolve));
  }

  get transitions(): number {
    return this.#transitions;
  }

  get workers(): number | undefined {
    return this.#workers;
  }

  get saysFinished(): boolean {
    return this.#saysFinished;
  }

  onLost(listener: (reason: string) => void): void {
    if (this.#lost === undefined) this.#lostListeners.push(listener);
    else listener(this.#lost);
  }

  onWorkers(listener: (workers: number) => void): void {
    this.#workersListeners.push(listener);
  }

  show(describe: () => object): void {
    this.#describe = describe;
  }

  async acquire(signal: AbortSignal): Promise<void> {
    const acquired = new Promise<void>((resolve) => (this.#onAcquired = resolve));
    const onAbort = (): void => this.#happen({ kind: 'release' });
    signal.addEventListener('abort', onAbort);
    if (signal.aborted) onAbort();
    this.#happen({ kind: 'tick' });
    await Promise.race([acquired, this.#over]);
    signal.removeEventListener('abort', onAbort);
    signal.throwIfAborted();
  }

  async release(): Promise<void> {
    this.#happen({ kind: 'release' });
    await this.#over;
  }

  #happen(event: ElectionEvent): void {
    if (event.kind === 'found' || event.kind === 'written') this.#readAnnotations();
    for (const effect of elect(this.#election, event, performance.now())) this.#perform(effect);
    clearTimeout(this.#timer);
    const wakeMs = nextWakeMs(this.#election);
    if (wakeMs === undefined) return;
    const delayMs = Math.max(0, Math.ceil(wakeMs - performance.now()));
    this.#timer = setTimeout(() => this.#happen({ kind: 'tick' }), delayMs);
  }

  #perform(effect: ElectionEffect): void {
    switch (effect.kind) {
      case 'read':
        void this.#object.read().then((answer) => this.#happen(answer));
        return;
      case 'write':
        void this.#object.write(effect, this.#annotations()).then((answer) => this.#happen(answer));
        return;
      case 'acquired':
        this.#transitions = effect.transitions;
        return this.#onAcquired();
      case 'lost':
        this.#lost = effect.reason;
        for (const listener of this.#lostListeners) listener(effect.reason);
        return this.#onOver();
      case 'released':
        return this.#onOver();
      case 'standingBy':
        return this.#options.onNotice(`the run is led by ${effect.holder}: standing by`);
      case 'trouble':
        return this.#options.onNotice(
          effect.reason === ''
            ? 'the lease of the run can be reached again'
            : `the lease of the run can't be reached: ${effect.reason}`,
        );
    }
  }

  #annotations(): Record<string, string> {
    if (this.#describe === undefined) return {};
    return { [leaseAnnotations.status]: JSON.stringify(this.#describe()) };
  }

  #readAnnotations(): void {
    const annotations = this.#object.annotations();
    // Our own words come later, and need not be read.
    if (this.#describe === undefined) {
      const { url, result } = readLeaderStatus(annotations) ?? {};
      this.#saysFinished = url === this.#options.runUrl && result?.kind === 'finished';
    }
    const workers = readWantedWorkers(annotations);
    if (workers === undefined || workers === this.#workers) return;
    this.#workers = workers;
    for (const listener of this.#workersListeners) listener(workers);
  }
}

/** Who the server takes us for in its account of who has written which field. */
const fieldManager = 'lockstep-coordinator';

/** What the election wants to be written. */
type LeaseWrite = Extract<ElectionEffect, { readonly kind: 'write' }>;

/**
 * The object in the API server: read, created, and replaced by the version that was seen. Each
 * answer, also none, becomes an event of the election; nothing is tried again here.
 */
class LeaseObject {
  readonly #api: CoordinationV1Api;
  readonly #place: LeasePlace;
  readonly #timing: ElectionTiming;
  /** As the server has sent it last: a write replaces this, and keeps what it does not know. */
  #last: V1Lease | undefined;

  constructor(api: CoordinationV1Api, place: LeasePlace, timing: ElectionTiming) {
    this.#api = api;
    this.#place = place;
    this.#timing = timing;
  }

  /** As they were seen last. */
  annotations(): Readonly<Record<string, string>> {
    return this.#last?.metadata?.annotations ?? {};
  }

  async read(): Promise<ElectionEvent> {
    try {
      this.#last = await this.#api.readNamespacedLease(this.#place);
      return { kind: 'found', lease: seen(this.#last) };
    } catch (failure) {
      const error = requestError(failure, this.#timing.requestMs);
      if (httpStatusOf(error) !== 404) return failed(error);
      this.#last = undefined;
      return { kind: 'found', lease: undefined };
    }
  }

  /** Also sets these annotations; all others stay as they are. */
  async write(
    wanted: LeaseWrite,
    annotations: Readonly<Record<string, string>>,
  ): Promise<ElectionEvent> {
    const isNew = wanted.base === undefined;
    const request = { ...this.#place, body: this.#body(wanted, annotations), fieldManager };
    try {
      this.#last = isNew
        ? await this.#api.createNamespacedLease(request)
        : await this.#api.replaceNamespacedLease(request);
      return { kind: 'written', lease: seen(this.#last) };
    } catch (failure) {
      const error = requestError(failure, this.#timing.requestMs);
      const status = httpStatusOf(error);
      // A create that finds nothing lacks its namespace; a replace, its object.
      const isRefused = status === 409 || (status === 404 && !isNew);
      return isRefused ? { kind: 'refused' } : failed(error);
    }
  }

  #body(
    { base, holder, transitions }: LeaseWrite,
    annotations: Readonly<Record<string, string>>,
  ): V1Lease {
    const before = base === undefined ? undefined : this.#last;
    const now = new V1MicroTime();
    const isSame = base?.holder === holder;
    const metadata = before?.metadata ?? { ...this.#place, labels: labelsOf(this.#place) };
    return {
      apiVersion: 'coordination.k8s.io/v1',
      kind: 'Lease',
      metadata: {
        ...metadata,
        annotations: { ...metadata.annotations, ...annotations },
        // Left out, the server keeps its own account of who has written what.
        managedFields: undefined,
        ...(base === undefined ? {} : { resourceVersion: base.version }),
      },
      spec: {
        ...before?.spec,
        holderIdentity: holder,
        leaseDurationSeconds: holder === '' ? 1 : Math.ceil(this.#timing.leaseMs / 1000),
        leaseTransitions: transitions,
        renewTime: now,
        acquireTime: isSame && before?.spec?.acquireTime ? before.spec.acquireTime : now,
      },
    };
  }
}

function labelsOf({ name }: LeasePlace): Record<string, string> {
  return {
    'app.kubernetes.io/name': 'lockstep',
    'app.kubernetes.io/instance': name.slice(0, 63),
    'app.kubernetes.io/component': 'coordinator',
    'app.kubernetes.io/part-of': 'lockstep',
    'app.kubernetes.io/managed-by': 'lockstep',
  };
}

function seen({ metadata, spec }: V1Lease): SeenLease {
  return {
    version: metadata?.resourceVersion ?? '',
    holder: spec?.holderIdentity ?? '',
    transitions: spec?.leaseTransitions ?? 0,
    stamp: String(spec?.renewTime ?? ''),
    leaseMs: 1000 * (spec?.leaseDurationSeconds ?? 0),
  };
}

function httpStatusOf(error: Error): number | undefined {
  return error instanceof ClusterError ? error.status : undefined;
}

function failed(error: Error): ElectionEvent {
  const { status, retryAfterS } = error instanceof ClusterError ? error : {};
  return {
    ...{ kind: 'failed', reason: error.message.slice(0, 300) },
    ...(status === undefined ? {} : { status }),
    ...(retryAfterS === undefined ? {} : { retryAfterMs: 1000 * retryAfterS }),
  };
}
