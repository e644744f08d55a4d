// The Lease object (coordination.k8s.io/v1) in a Kubernetes API server: read, created and replaced
// by the version that was seen. Each answer, also none, becomes an event of the election; nothing
// is tried again here.

import {
  ApiException,
  CoordinationV1Api,
  KubeConfig,
  Observable,
  V1MicroTime,
  type ConfigurationOptions,
  type ObservableMiddleware,
  type RequestContext,
  type V1Lease,
} from '@kubernetes/client-node';
import type { LeasePlace } from '../../shared/kubernetes/lease-place.js';
import { OperatorError } from '../../shared/problems.js';
import type { ElectionEffect, ElectionEvent, SeenLease } from '../core/election.js';

/** Who we are in the server's account of who has written which field. */
const fieldManager = 'lockstep-coordinator';

/** What the election wants to be written. */
export type LeaseWrite = Extract<ElectionEffect, { readonly kind: 'write' }>;

export interface LeaseObject {
  read(): Promise<ElectionEvent>;
  /** Also sets these annotations; all others stay as they are. */
  write(wanted: LeaseWrite, annotations: Readonly<Record<string, string>>): Promise<ElectionEvent>;
  /** Annotations of the object as it was seen last. */
  annotations(): Readonly<Record<string, string>>;
}

export interface LeaseObjectOptions {
  readonly place: LeasePlace;
  /** How long the holder claims it after a renewal; told to others, who have their own limits. */
  readonly leaseMs: number;
  /** Longest wait for an answer. */
  readonly requestMs: number;
}

/**
 * The configuration of the cluster: the file at `path`, or else $KUBECONFIG, ~/.kube/config or the
 * pod's service account. An OperatorError where there is none or it can't be read.
 */
export function loadCluster(path?: string): KubeConfig {
  const config = new KubeConfig();
  const refuse = (hint: string): OperatorError =>
    new OperatorError('the cluster can not be reached', [
      {
        key: 'KUBECONFIG',
        given: undefined,
        allowed: 'a kubeconfig there or in ~/.kube/config, or a pod with a service account token',
        hint,
      },
    ]);
  try {
    if (path === undefined) config.loadFromDefault();
    else config.loadFromFile(path);
  } catch (error) {
    throw refuse(error instanceof Error ? error.message : String(error));
  }
  // What the client falls back to when there is nothing.
  const server = config.getCurrentCluster()?.server;
  if (server === undefined) throw refuse('the current context names no cluster');
  if (server === 'http://localhost:8080') throw refuse('there is none');
  return config;
}

/** Creates the access to one Lease object; nothing is sent yet. */
export function createLeaseObject(config: KubeConfig, options: LeaseObjectOptions): LeaseObject {
  return new ApiLease(config.makeApiClient(CoordinationV1Api), options);
}

class ApiLease implements LeaseObject {
  readonly #api: CoordinationV1Api;
  readonly #options: LeaseObjectOptions;
  /** As the server has told it last: a write replaces this, and keeps what it does not know. */
  #last: V1Lease | undefined;

  constructor(api: CoordinationV1Api, options: LeaseObjectOptions) {
    this.#api = api;
    this.#options = options;
  }

  annotations(): Readonly<Record<string, string>> {
    return this.#last?.metadata?.annotations ?? {};
  }

  async read(): Promise<ElectionEvent> {
    const { place, requestMs } = this.#options;
    try {
      this.#last = await this.#api.readNamespacedLease(place, within(requestMs));
      return { kind: 'found', lease: seen(this.#last) };
    } catch (error) {
      if (codeOf(error) !== 404) return failed(error, requestMs);
      this.#last = undefined;
      return { kind: 'found', lease: undefined };
    }
  }

  async write(
    wanted: LeaseWrite,
    annotations: Readonly<Record<string, string>>,
  ): Promise<ElectionEvent> {
    const { place, requestMs } = this.#options;
    const { namespace } = place;
    const isNew = wanted.base === undefined;
    try {
      const body = this.#body(wanted, annotations);
      const limit = within(requestMs);
      this.#last = isNew
        ? await this.#api.createNamespacedLease({ namespace, body, fieldManager }, limit)
        : await this.#api.replaceNamespacedLease({ ...place, body, fieldManager }, limit);
      return { kind: 'written', lease: seen(this.#last) };
    } catch (error) {
      // A create that finds nothing lacks its namespace; a replace, its object.
      const isRefused = codeOf(error) === 409 || (codeOf(error) === 404 && !isNew);
      return isRefused ? { kind: 'refused' } : failed(error, requestMs);
    }
  }

  #body(
    { base, holder, transitions }: LeaseWrite,
    annotations: Readonly<Record<string, string>>,
  ): V1Lease {
    const { place, leaseMs } = this.#options;
    const before = base === undefined ? undefined : this.#last;
    const now = new V1MicroTime();
    const isSame = base?.holder === holder;
    const metadata = before?.metadata ?? { ...place, labels: labelsOf(place) };
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
        leaseDurationSeconds: holder === '' ? 1 : Math.ceil(leaseMs / 1000),
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

/** Options of one request that is given up after so long, its answer's body included. */
function within(ms: number): ConfigurationOptions {
  const signal = AbortSignal.timeout(ms);
  const limit: ObservableMiddleware = {
    pre: (request: RequestContext) => {
      request.setSignal(signal);
      return new Observable(Promise.resolve(request));
    },
    post: (response) => new Observable(Promise.resolve(response)),
  };
  return { middleware: [limit], middlewareMergeStrategy: 'append' };
}

function codeOf(error: unknown): number | undefined {
  return error instanceof ApiException ? error.code : undefined;
}

function failed(error: unknown, requestMs: number): ElectionEvent {
  const retryAfterMs = retryAfterOf(error);
  const status = codeOf(error);
  return {
    ...{ kind: 'failed', reason: reasonOf(error, requestMs) },
    ...(status === undefined ? {} : { status }),
    ...(retryAfterMs === undefined ? {} : { retryAfterMs }),
  };
}

function reasonOf(error: unknown, requestMs: number): string {
  if (error instanceof ApiException) return `HTTP ${error.code}: ${messageOf(error.body)}`;
  if (!(error instanceof Error)) return String(error).slice(0, 300);
  if (error.name === 'AbortError' || error.name === 'TimeoutError')
    return `no answer within ${requestMs} ms`;
  return error.message.slice(0, 300);
}

/** The message of a Status object, which may have come as its text. */
function messageOf(body: unknown): string {
  let value = body;
  try {
    if (typeof body === 'string') value = JSON.parse(body);
  } catch {
    // Not JSON: a proxy's page.
  }
  const told = typeof value === 'object' && value !== null && 'message' in value && value.message;
  return String(told || value || 'no reason was given').slice(0, 300);
}

/** Seconds only: API servers give no dates. */
function retryAfterOf(error: unknown): number | undefined {
  if (!(error instanceof ApiException)) return undefined;
  const headers = error.headers as Readonly<Record<string, string | undefined>>;
  const seconds = Number(headers['retry-after']);
  return seconds > 0 ? 1000 * seconds : undefined;
}
