// Follows the objects of a namespace: lists them, then hears of changes from where the list ended.
// A watch ends often (the server ends each after minutes, forgets old versions, restarts); it is
// taken up again where it ended, or with a new list where that is too long ago (410).

import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { ClusterError, isLost, refusalOf, retryDelayMs } from './answers.js';
import type { ClusterClient, ClusterObject, Selection } from './cluster-client.js';
import { pathOf, type Kind } from './resources.js';

/** What is followed. */
export interface WatchTarget {
  readonly kind: Kind;
  readonly namespace: string;
  readonly selection: Selection;
}

interface WatchEvent<T> {
  readonly type: 'ADDED' | 'MODIFIED' | 'DELETED' | 'BOOKMARK' | 'ERROR';
  readonly object: T & { readonly code?: number };
}

/** Longest watch that the server is asked for. The connection's limit of silence is shorter. */
const watchS = 20;
/** Between two watches. */
const pauseMs = 100;

/**
 * Yields all objects by name, after the list and after each change, until `signal` is aborted,
 * upon which it ends. Throws what the server refuses for good (403).
 */
export async function* watchObjects<T extends ClusterObject>(
  client: ClusterClient,
  target: WatchTarget,
  signal: AbortSignal,
): AsyncGenerator<ReadonlyMap<string, T>> {
  while (!signal.aborted) {
    const { items, resourceVersion } = await client.list<T>(
      target.kind,
      target.namespace,
      target.selection,
    );
    const known = new Map(items.map((item) => [item.metadata?.name ?? '', item]));
    yield known;
    yield* changes(client, target, { known, version: resourceVersion }, signal);
  }
}

interface Position<T> {
  readonly known: Map<string, T>;
  version: string;
}

/** Watches again and again; ends when what comes next can't be told any more. */
async function* changes<T extends ClusterObject>(
  client: ClusterClient,
  target: WatchTarget,
  position: Position<T>,
  signal: AbortSignal,
): AsyncGenerator<ReadonlyMap<string, T>> {
  let failures = 0;
  while (!signal.aborted) {
    try {
      for await (const event of events<T>(client, target, position.version, signal)) {
        if (event.type === 'ERROR') throw told(event.object);
        failures = 0;
        if (note(position, event)) yield position.known;
      }
      // A server that ends each watch at once must not be asked without a pause.
      await sleep(pauseMs, undefined, { signal });
    } catch (error) {
      if (signal.aborted) return;
      if (isExpired(error)) return;
      // The list that follows reports what lasts.
      const waitMs = retryDelayMs(error, ++failures, client.limits);
      if (waitMs === undefined) {
        if (isLost(error)) return;
        throw error;
      }
      await sleep(waitMs, undefined, { signal }).catch(() => undefined);
    }
  }
}

function told(status: { readonly code?: number }): ClusterError {
  return refusalOf(status.code ?? 0, {}, JSON.stringify(status));
}

function isExpired(error: unknown): boolean {
  return error instanceof ClusterError && (error.status === 410 || error.reason === 'Expired');
}

/** True when something has changed but the version. */
function note<T extends ClusterObject>(
  position: Position<T>,
  { type, object }: WatchEvent<T>,
): boolean {
  position.version = object.metadata?.resourceVersion ?? position.version;
  if (type === 'BOOKMARK') return false;
  const name = object.metadata?.name ?? '';
  if (type === 'DELETED') position.known.delete(name);
  else position.known.set(name, object);
  return true;
}

async function* events<T>(
  client: ClusterClient,
  { kind, namespace, selection }: WatchTarget,
  resourceVersion: string,
  signal: AbortSignal,
): AsyncGenerator<WatchEvent<T>> {
  const { body } = await client.open({
    method: 'GET',
    path: pathOf(kind, namespace),
    query: {
      ...{ ...selection, watch: true, allowWatchBookmarks: true },
      ...{ resourceVersion, timeoutSeconds: watchS },
    },
    signal,
  });
  // Lines alone would end quietly when the connection breaks.
  let broken: Error | undefined;
  body.once('error', (error: Error) => (broken = error));
  const lines = createInterface({ input: body });
  try {
    for await (const line of lines) if (line !== '') yield JSON.parse(line) as WatchEvent<T>;
  } finally {
    lines.close();
    body.destroy();
  }
  if (broken !== undefined) throw broken;
}
