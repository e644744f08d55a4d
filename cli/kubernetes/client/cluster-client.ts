// The API server as the commands use it: read, list, create, apply, patch, delete. What passes
// (429, 5xx, a lost connection) is tried again; a refusal is thrown as ClusterError.

import type { V1ObjectMeta } from '@kubernetes/client-node';
import { setTimeout as sleep } from 'node:timers/promises';
import { exitCodes } from '../../../shared/exit-codes.js';
import { CommandFailed } from '../../failure.js';
import { fieldManager } from '../names.js';
import {
  ClusterError,
  isLost,
  refusalOf,
  retryDelayMs,
  retryLimits,
  type RetryLimits,
} from './answers.js';
import { readText, type ApiAnswer, type ApiRequest, type Connection } from './connection.js';
import { pathOf, type Kind } from './resources.js';

/** An object as the server sends it. */
export interface ClusterObject {
  readonly apiVersion?: string | undefined;
  readonly kind?: string | undefined;
  readonly metadata?: V1ObjectMeta | undefined;
}

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

export interface ClusterClient {
  readonly server: string;
  /** How often, and after what waits, something is tried again. */
  readonly limits: RetryLimits;
  /** Undefined: there is none. */
  get<T extends ClusterObject>(kind: Kind, namespace: string, name: string): Promise<T | undefined>;
  list<T extends ClusterObject>(
    kind: Kind,
    namespace: string,
    selection?: Selection,
  ): Promise<ObjectList<T>>;
  /** Undefined: there is one of this name already, perhaps by an attempt whose answer was lost. */
  create<T extends ClusterObject>(object: T): Promise<T | undefined>;
  /** Server-side apply. `force` takes fields over that others have set. */
  apply<T extends ClusterObject>(object: T, force?: boolean): Promise<T>;
  /** JSON merge patch; with a resourceVersion in it, refused with 409 if that is not the newest. */
  patch<T extends ClusterObject>(
    kind: Kind,
    namespace: string,
    name: string,
    change: object,
  ): Promise<T>;
  /** Deletes with foreground propagation; false: there was none. `uid`: only if it is that one. */
  remove(kind: Kind, namespace: string, name: string, uid?: string): Promise<boolean>;
  /** One attempt, for streams: the head of an answer that is no refusal. */
  open(request: ApiRequest): Promise<ApiAnswer>;
}

export interface ClientOptions {
  /** One line for each wait before another attempt. */
  readonly onWait: (text: string) => void;
  readonly limits?: RetryLimits;
  readonly signal?: AbortSignal;
}

/** A client over a connection. */
export function createClusterClient(connection: Connection, options: ClientOptions): ClusterClient {
  const ask = <T>(request: ApiRequest): Promise<T> => askAgain<T>(connection, options, request);
  const unless = async <T>(status: number, wanted: Promise<T>): Promise<T | undefined> => {
    try {
      return await wanted;
    } catch (error) {
      if (error instanceof ClusterError && error.status === status) return undefined;
      throw error;
    }
  };
  const place = ({ kind, metadata }: ClusterObject): [Kind, string, string] => [
    kind as Kind,
    metadata?.namespace ?? '',
    metadata?.name ?? '',
  ];
  return {
    server: connection.server,
    limits: options.limits ?? retryLimits,
    get: (...of) => unless(404, ask({ method: 'GET', path: pathOf(...of) })),
    list: (kind, namespace, selection) => listAll(ask, pathOf(kind, namespace), selection),
    create(object) {
      const [kind, namespace] = place(object);
      const query = { fieldManager, fieldValidation: 'Strict' };
      const path = pathOf(kind, namespace);
      return unless(409, ask({ method: 'POST', path, query, body: object }));
    },
    apply: (object, force = false) =>
      ask({
        method: 'PATCH',
        path: pathOf(...place(object)),
        query: { fieldManager, fieldValidation: 'Strict', force },
        body: object,
        contentType: 'application/apply-patch+yaml',
      }),
    patch: (kind, namespace, name, change) =>
      ask({
        method: 'PATCH',
        path: pathOf(kind, namespace, name),
        query: { fieldManager, fieldValidation: 'Strict' },
        body: change,
        contentType: 'application/merge-patch+json',
      }),
    async remove(kind, namespace, name, uid) {
      const preconditions = uid === undefined ? {} : { preconditions: { uid } };
      const body = { propagationPolicy: 'Foreground', ...preconditions };
      const path = pathOf(kind, namespace, name);
      return (await unless(404, ask({ method: 'DELETE', path, body }))) !== undefined;
    },
    open: (request) => attempt(connection, request),
  };
}

/** Objects of one page. */
const pageSize = 500;

interface Page<T> {
  readonly items?: readonly T[];
  readonly metadata?: { readonly resourceVersion?: string; readonly continue?: string };
}

/** All pages; from the start again when the server has forgotten where the next one begins. */
async function listAll<T>(
  ask: <A>(request: ApiRequest) => Promise<A>,
  path: string,
  selection: Selection = {},
): Promise<ObjectList<T>> {
  let items: T[] = [];
  let next: string | undefined;
  for (;;) {
    const query = { ...selection, limit: pageSize, continue: next };
    try {
      const page: Page<T> = await ask<Page<T>>({ method: 'GET', path, query });
      items = [...items, ...(page.items ?? [])];
      next = page.metadata?.continue || undefined;
      if (next === undefined)
        return { items, resourceVersion: page.metadata?.resourceVersion ?? '' };
    } catch (error) {
      if (!(error instanceof ClusterError) || error.status !== 410 || next === undefined)
        throw error;
      [items, next] = [[], undefined];
    }
  }
}

async function askAgain<T>(
  connection: Connection,
  { onWait, limits = retryLimits, signal }: ClientOptions,
  request: ApiRequest,
): Promise<T> {
  for (let tries = 1; ; tries++) {
    try {
      const answer = await attempt(connection, { signal, ...request });
      return JSON.parse(await readText(answer)) as T;
    } catch (error) {
      signal?.throwIfAborted();
      const waitMs = retryDelayMs(error, tries, limits);
      if (waitMs === undefined) throw isLost(error) ? unreachable(connection, error) : error;
      const reason = error instanceof Error ? error.message : String(error);
      onWait(
        `${request.method} ${request.path}: ${reason}; again in ${(waitMs / 1000).toFixed(1)} s`,
      );
      await sleep(waitMs, undefined, signal === undefined ? {} : { signal });
    }
  }
}

async function attempt(connection: Connection, request: ApiRequest): Promise<ApiAnswer> {
  const answer = await connection.send(request);
  if (answer.status >= 200 && answer.status <= 299) return answer;
  throw refusalOf(answer.status, answer.headers, await readText(answer));
}

function unreachable({ server }: Connection, error: unknown): CommandFailed {
  const reason = error instanceof Error ? error.message : String(error);
  return new CommandFailed(
    `the cluster at ${server} can't be reached: ${reason}`,
    exitCodes.failed,
    'A run that was launched goes on without this command. Look at the network and the context.',
  );
}
