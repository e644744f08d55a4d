// The API server as the commands use it. The library's typed API reads, lists, creates, applies,
// patches and deletes; what is added here are retries of what passes (429, 5xx, a lost
// connection), pages of a list, and strict validation. Streams are opened here, since the
// library's Watch and Log drop the server's words when it refuses, have no limit of silence and
// can't be aborted before their first byte, and Log reports no lost connection.

import {
  KubernetesObjectApi,
  PatchStrategy,
  type KubeConfig,
  type KubernetesListObject,
  type KubernetesObject,
  type RequestContext,
  type V1APIResource,
  type V1ObjectMeta,
} from '@kubernetes/client-node';
import { request as httpRequest, type IncomingMessage } from 'node:http';
import { request as httpsRequest, type RequestOptions } from 'node:https';
import { setTimeout as sleep } from 'node:timers/promises';
import { exitCodes } from '../../../shared/exit-codes.js';
import {
  apiConfiguration,
  loadCluster,
  requestError,
  serverOf,
  type ClusterChoice,
} from '../../../shared/kubernetes/api-server.js';
import { ClusterError, refusalOf } from '../../../shared/kubernetes/refusal.js';
import { CommandFailed } from '../../failure.js';
import { isLost, retryDelayMs, retryLimits, type RetryLimits } from './retries.js';

/** The kinds of objects that a run is made of, and what the cluster says of them. */
const kinds = {
  ConfigMap: { apiVersion: 'v1', plural: 'configmaps' },
  Pod: { apiVersion: 'v1', plural: 'pods' },
  Event: { apiVersion: 'v1', plural: 'events' },
  Secret: { apiVersion: 'v1', plural: 'secrets' },
  Service: { apiVersion: 'v1', plural: 'services' },
  ServiceAccount: { apiVersion: 'v1', plural: 'serviceaccounts' },
  Job: { apiVersion: 'batch/v1', plural: 'jobs' },
  Lease: { apiVersion: 'coordination.k8s.io/v1', plural: 'leases' },
  NetworkPolicy: { apiVersion: 'networking.k8s.io/v1', plural: 'networkpolicies' },
  PodDisruptionBudget: { apiVersion: 'policy/v1', plural: 'poddisruptionbudgets' },
  Role: { apiVersion: 'rbac.authorization.k8s.io/v1', plural: 'roles' },
  RoleBinding: { apiVersion: 'rbac.authorization.k8s.io/v1', plural: 'rolebindings' },
} as const;

export type Kind = keyof typeof kinds;

/** Objects of one kind, and the version of the whole they are from. */
export interface ObjectList<T> {
  readonly items: readonly T[];
  readonly resourceVersion: string;
}

/** Which objects of a namespace. */
export interface Selection {
  readonly labelSelector?: string;
  readonly fieldSelector?: string;
}

/** A GET whose answer is read as it comes. */
export interface StreamRequest {
  readonly kind: Kind;
  readonly namespace: string;
  /** Below the objects of the kind, such as `/NAME/log`; all of them when not given. */
  readonly path?: string;
  readonly query: Readonly<Record<string, string | number | boolean | undefined>>;
  readonly signal?: AbortSignal | undefined;
}

export interface ClusterClient {
  readonly server: string;
  /** How often, and after what waits, something is tried again. */
  readonly limits: RetryLimits;
  /** Undefined: there is none. */
  get<T extends KubernetesObject>(
    kind: Kind,
    namespace: string,
    name: string,
  ): Promise<T | undefined>;
  list<T extends KubernetesObject>(
    kind: Kind,
    namespace: string,
    selection?: Selection,
  ): Promise<ObjectList<T>>;
  /** Undefined: there is one of this name already, perhaps by an attempt whose answer was lost. */
  create<T extends KubernetesObject>(object: T): Promise<T | undefined>;
  /** Server-side apply. `force` takes fields over that others have set. */
  apply(object: KubernetesObject, force?: boolean): Promise<void>;
  /** JSON merge patch; with a resourceVersion in it, refused with 409 if that is not the newest. */
  patch(
    kind: Kind,
    namespace: string,
    name: string,
    change: { readonly metadata?: V1ObjectMeta; readonly [field: string]: unknown },
  ): Promise<void>;
  /** Deletes with foreground propagation; false: there was none. `uid`: only if it is that one. */
  remove(kind: Kind, namespace: string, name: string, uid?: string): Promise<boolean>;
  /** One attempt: the body of an answer that is no refusal. */
  open(request: StreamRequest): Promise<IncomingMessage>;
}

export interface ClientOptions {
  /** One line for each wait before another attempt. */
  readonly onWait: (text: string) => void;
  readonly limits?: RetryLimits;
  /** Longest wait for an answer, and longest silence of a stream. */
  readonly silentMs?: number;
}

/** A client of the cluster that is meant; an OperatorError where that is not clear. */
export function openCluster(choice: ClusterChoice, options: ClientOptions): ClusterClient {
  return createClusterClient(loadCluster(choice), options);
}

/** Who the server takes the command line for in its account of who has set which field. */
const fieldManager = 'lockstep';
const defaultSilentMs = 30_000;
/** Objects of one page of a list. */
const pageSize = 500;

/** A client by the current context of a configuration; nothing is sent yet. */
export function createClusterClient(config: KubeConfig, options: ClientOptions): ClusterClient {
  const { limits = retryLimits, silentMs = defaultSilentMs } = options;
  const api = new RunObjectApi(apiConfiguration(config, silentMs));
  const server = serverOf(config);
  const ask = <T>(what: string, send: () => Promise<T>): Promise<T> =>
    sendAgain(server, options, what, send);
  return {
    server,
    limits,
    get: <T extends KubernetesObject>(...of: readonly [Kind, string, string]) =>
      unless(
        404,
        ask(`read ${of[0]} ${of[2]}`, () => api.read<T>(header(...of))),
      ),
    list: <T extends KubernetesObject>(
      kind: Kind,
      namespace: string,
      selection: Selection = {},
    ) => {
      const none = [undefined, undefined, undefined] as const;
      const { fieldSelector, labelSelector } = selection;
      const chosen = [fieldSelector, labelSelector, pageSize] as const;
      return allPages((next) =>
        ask(`list ${kind}`, () =>
          api.list<T>(kinds[kind].apiVersion, kind, namespace, ...none, ...chosen, next),
        ),
      );
    },
    create: <T extends KubernetesObject>(object: T) =>
      unless(
        409,
        ask(`create ${wordsOf(object)}`, () =>
          api.create(object, undefined, undefined, fieldManager),
        ),
      ),
    async apply(object, force = false) {
      const how = [undefined, undefined, fieldManager, force, serverSideApply] as const;
      await ask(`apply ${wordsOf(object)}`, () => api.patch(object, ...how));
    },
    async patch(kind, namespace, name, change) {
      const { metadata, ...of } = header(kind, namespace, name);
      const body = { ...of, ...change, metadata: { ...change.metadata, ...metadata } };
      const how = [undefined, undefined, fieldManager, undefined, mergePatch] as const;
      await ask(`patch ${kind} ${name}`, () => api.patch(body, ...how));
    },
    async remove(kind, namespace, name, uid) {
      const preconditions = uid === undefined ? {} : { preconditions: { uid } };
      const body = { propagationPolicy: 'Foreground', ...preconditions };
      const none = [undefined, undefined, undefined, undefined, undefined] as const;
      const object = header(kind, namespace, name);
      const send = () => api.delete(object, ...none, body);
      return (await unless(404, ask(`delete ${kind} ${name}`, send))) !== undefined;
    },
    open: (request) => openStream(config, request, silentMs),
  };
}

/** Sends a request until it is answered, refused, or given up. */
async function sendAgain<T>(
  server: string,
  { onWait, limits = retryLimits, silentMs = defaultSilentMs }: ClientOptions,
  what: string,
  send: () => Promise<T>,
): Promise<T> {
  for (let tries = 1; ; tries++) {
    try {
      return await send();
    } catch (failure) {
      const error = requestError(failure, silentMs);
      const waitMs = retryDelayMs(error, tries, limits);
      if (waitMs === undefined) throw isLost(error) ? unreachable(server, error) : error;
      onWait(`${what}: ${error.message}; again in ${(waitMs / 1000).toFixed(1)} s`);
      await sleep(waitMs);
    }
  }
}

/** All pages of a list, from the start again where the server has forgotten the next one (410). */
async function allPages<T extends KubernetesObject>(
  read: (next: string | undefined) => Promise<KubernetesListObject<T>>,
): Promise<ObjectList<T>> {
  let items: T[] = [];
  let next: string | undefined;
  for (;;) {
    try {
      const page = await read(next);
      items = [...items, ...page.items];
      next = page.metadata?._continue || undefined;
      if (next === undefined)
        return { items, resourceVersion: page.metadata?.resourceVersion ?? '' };
    } catch (error) {
      if (!(error instanceof ClusterError) || error.status !== 410 || next === undefined)
        throw error;
      [items, next] = [[], undefined];
    }
  }
}

const { ServerSideApply: serverSideApply, MergePatch: mergePatch } = PatchStrategy;

/** Undefined where the server refuses with that status. */
async function unless<T>(status: number, wanted: Promise<T>): Promise<T | undefined> {
  try {
    return await wanted;
  } catch (error) {
    if (error instanceof ClusterError && error.status === status) return undefined;
    throw error;
  }
}

function header(kind: Kind, namespace: string, name: string) {
  return { apiVersion: kinds[kind].apiVersion, kind, metadata: { namespace, name } };
}

const wordsOf = ({ kind = '', metadata }: KubernetesObject): string =>
  `${kind} ${metadata?.name ?? ''}`;

/** Knows the few kinds of a run, so that the server is not asked for all of its resources. */
class RunObjectApi extends KubernetesObjectApi {
  protected override resource(apiVersion: string, kind: string): Promise<V1APIResource> {
    const { plural } = kinds[kind as Kind];
    const resource = { kind, name: plural, namespaced: true, singularName: '', verbs: [] };
    return Promise.resolve({ ...resource, version: apiVersion });
  }

  protected override requestPromise<T extends KubernetesObject>(
    request: RequestContext,
    type?: string,
  ): Promise<T> {
    if (['POST', 'PATCH'].includes(request.getHttpMethod()))
      request.setQueryParam('fieldValidation', 'Strict');
    return super.requestPromise(request, type);
  }
}

function unreachable(server: string, { message }: Error): CommandFailed {
  return new CommandFailed(
    `the cluster at ${server} can't be reached: ${message}`,
    exitCodes.failed,
    'A run that was launched goes on without this command. Look at the network and the context.',
  );
}

async function openStream(
  config: KubeConfig,
  { kind, namespace, path = '', query, signal }: StreamRequest,
  silentMs: number,
): Promise<IncomingMessage> {
  const { apiVersion, plural } = kinds[kind];
  const root = apiVersion.includes('/') ? `/apis/${apiVersion}` : `/api/${apiVersion}`;
  const url = new URL(`${serverOf(config)}${root}/namespaces/${namespace}/${plural}${path}`);
  for (const [key, value] of Object.entries(query))
    if (value !== undefined) url.searchParams.set(key, String(value));
  const options: RequestOptions = {
    timeout: silentMs,
    headers: { accept: 'application/json' },
    ...(signal === undefined ? {} : { signal }),
  };
  await config.applyToHTTPSOptions(options);
  const answer = await new Promise<IncomingMessage>((resolve, reject) => {
    const open = url.protocol === 'http:' ? httpRequest : httpsRequest;
    const request = open(url, options, resolve);
    request.on('timeout', () =>
      request.destroy(new Error(`the server was silent for ${silentMs / 1000} s`)),
    );
    request.on('error', reject);
    request.end();
  });
  const { statusCode = 0, headers } = answer;
  if (statusCode >= 200 && statusCode <= 299) return answer;
  throw refusalOf(statusCode, headers, await readText(answer));
}

async function readText(body: IncomingMessage): Promise<string> {
  let text = '';
  for await (const part of body.setEncoding('utf8')) text += String(part);
  return text;
}
