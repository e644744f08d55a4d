// The lease in a Kubernetes Lease object: asks the election what to do, does it, and tells it the
// answers and the time. The object also carries, as annotations, the run's status for whoever may
// read leases, and how many workers the operator wants.

import { randomUUID } from 'node:crypto';
import { hostname } from 'node:os';
import { leaseAnnotations, parseLeaseUrl } from '../../shared/kubernetes/lease-place.js';
import { readWantedWorkers } from '../../shared/kubernetes/leader-status.js';
import { elect } from '../core/election.js';
import {
  defaultElectionTiming,
  initialElection,
  nextWakeMs,
  type ElectionEffect,
  type ElectionEvent,
  type ElectionState,
  type ElectionTiming,
} from '../core/election.js';
import type { Lease, LeaseBoard } from './lease.js';
import { createLeaseObject, loadCluster, type LeaseObject } from './lease-object.js';

export interface KubernetesLeaseOptions {
  /** k8s://NAMESPACE/NAME */
  readonly url: string;
  /** One line when another holds the lease, or the API server goes away or is back. */
  readonly onNotice: (text: string) => void;
  readonly timing?: ElectionTiming;
  /** Of the cluster; that of this process when not given. */
  readonly kubeconfig?: string;
}

/** Creates the lease of one coordinator, unsent; an OperatorError where there is no cluster. */
export function createKubernetesLease(options: KubernetesLeaseOptions): Lease & LeaseBoard {
  const place = parseLeaseUrl(options.url);
  const timing = options.timing ?? defaultElectionTiming;
  const { leaseMs, requestMs } = timing;
  const object = createLeaseObject(loadCluster(options.kubeconfig), { place, leaseMs, requestMs });
  return new KubernetesLease(options, object, timing);
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
    if (event.kind === 'found' || event.kind === 'written') this.#readWorkers();
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

  #readWorkers(): void {
    const workers = readWantedWorkers(this.#object.annotations());
    if (workers === undefined || workers === this.#workers) return;
    this.#workers = workers;
    for (const listener of this.#workersListeners) listener(workers);
  }
}
