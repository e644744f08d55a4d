// What the API server sends as it happens: changes of objects, and lines of a log. A stream that
// breaks off is taken up where it was.

import type { KubernetesObject } from '@kubernetes/client-node';
import type { IncomingMessage } from 'node:http';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { ClusterError, refusalOf } from '../../../shared/kubernetes/refusal.js';
import type { ClusterClient, Kind, Selection } from './cluster-client.js';
import { isLost, retryDelayMs } from './retries.js';
import { parseJson } from '../../../shared/bounded-json.js';

/** Which objects are watched. */
export interface WatchTarget {
  readonly kind: Kind;
  readonly namespace: string;
  readonly selection: Selection;
}

interface WatchEvent<T> {
  readonly type: 'ADDED' | 'MODIFIED' | 'DELETED' | 'BOOKMARK' | 'ERROR';
  readonly object: T & { readonly code?: number };
}

/** Longest watch that the server is asked for. The client's limit of silence is longer. */
const watchS = 20;
/** Between two watches. */
const pauseMs = 100;

/**
 * Yields all objects by name, after a list and after each change, until `signal` is aborted. A
 * watch ends often: it is taken up at the version where it ended, or with a new list where the
 * server has forgotten that version (410). Throws what the server refuses for good (403).
 */
export async function* watchObjects<T extends KubernetesObject>(
  client: ClusterClient,
  target: WatchTarget,
  signal: AbortSignal,
): AsyncGenerator<ReadonlyMap<string, T>> {
  while (!signal.aborted) {
    const { kind, namespace, selection } = target;
    const { items, resourceVersion } = await client.list<T>(kind, namespace, selection);
    const known = new Map(items.map((item) => [item.metadata?.name ?? '', item]));
    yield known;
    yield* changes(client, target, { known, version: resourceVersion }, signal);
  }
}

interface Position<T> {
  readonly known: Map<string, T>;
  version: string;
}

/** Watches again and again; ends where only a list can go on. */
async function* changes<T extends KubernetesObject>(
  client: ClusterClient,
  target: WatchTarget,
  position: Position<T>,
  signal: AbortSignal,
): AsyncGenerator<ReadonlyMap<string, T>> {
  let failures = 0;
  while (!signal.aborted) {
    try {
      for await (const event of events<T>(client, target, position.version, signal)) {
        if (event.type === 'ERROR')
          throw refusalOf(event.object.code ?? 0, {}, JSON.stringify(event.object));
        failures = 0;
        if (take(position, event)) yield position.known;
      }
      // A server that ends each watch at once must not be asked without a pause.
      await sleep(pauseMs, undefined, { signal });
    } catch (error) {
      if (signal.aborted || isExpired(error)) return;
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

function isExpired(error: unknown): boolean {
  return error instanceof ClusterError && (error.status === 410 || error.reason === 'Expired');
}

/** True when something has changed but the version. */
function take<T extends KubernetesObject>(
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
  const query = {
    ...{ ...selection, watch: true, allowWatchBookmarks: true },
    ...{ resourceVersion, timeoutSeconds: watchS },
  };
  const body = await client.open({ kind, namespace, query, signal });
  for await (const line of linesOf(body)) if (line !== '') yield parseJson(line) as WatchEvent<T>;
}

/** Lines of a body. Throws where the connection breaks: readline alone would end quietly. */
async function* linesOf(body: IncomingMessage): AsyncGenerator<string> {
  let broken: Error | undefined;
  body.once('error', (error: Error) => (broken = error));
  const lines = createInterface({ input: body });
  try {
    yield* lines;
  } finally {
    lines.close();
    body.destroy();
  }
  if (broken !== undefined) throw broken;
}

export interface LogRequest {
  readonly namespace: string;
  readonly pod: string;
  readonly container: string;
  /** Until the container ends, or `signal` is aborted. */
  readonly follow: boolean;
  /** Lines from the end; all when not given. */
  readonly tail?: number | undefined;
  readonly signal?: AbortSignal;
}

/**
 * Yields the lines of a container's log; none where it has not started. A log that breaks off is
 * taken up behind the last line by the server's time of each. Throws what is refused.
 */
export async function* podLog(client: ClusterClient, request: LogRequest): AsyncGenerator<string> {
  const { follow, signal } = request;
  let last: string | undefined;
  for (let failures = 0; ;) {
    const seen = last;
    try {
      for await (const { stamp, text } of stampedLines(client, request, seen)) {
        if (stamp === undefined && kubeletWords.test(text)) continue;
        if (seen !== undefined && stamp !== undefined && !isLater(stamp, seen)) continue;
        last = stamp ?? last;
        failures = 0;
        yield text;
      }
      return;
    } catch (error) {
      if (signal?.aborted) return;
      if (isNotStarted(error) && !follow) return;
      const waitMs = isNotStarted(error) ? startMs : retryDelayMs(error, ++failures, client.limits);
      if (waitMs === undefined) throw error;
      await sleep(waitMs, undefined, signal === undefined ? {} : { signal }).catch(() => undefined);
      if (signal?.aborted) return;
    }
  }
}

/** How often a container is looked for that has not started. */
const startMs = 1000;

/** "container is waiting to start": the server says so with 400. */
function isNotStarted(error: unknown): boolean {
  return (
    error instanceof ClusterError &&
    error.status === 400 &&
    /waiting to start|ContainerCreating|PodInitializing|does not have a host/.test(error.message)
  );
}

/**
 * What a kubelet writes into the answer itself where a log is gone or can't be followed; the
 * program's own lines have a stamp.
 */
const kubeletWords = new RegExp(
  '^(unable to retrieve container logs for |failed to (try resolving symlinks|watch file|' +
    'create fsnotify|open log file|read log file|get container status))',
);

interface StampedLine {
  /** RFC 3339 with up to nine digits of a second. */
  readonly stamp: string | undefined;
  readonly text: string;
}

async function* stampedLines(
  client: ClusterClient,
  { namespace, pod, container, follow, tail, signal }: LogRequest,
  last: string | undefined,
): AsyncGenerator<StampedLine> {
  // The server takes whole seconds: the last line and its neighbours come again.
  const from = last === undefined ? { tailLines: tail } : { sinceTime: wholeSecond(last) };
  const query = { container, follow, timestamps: true, ...from };
  const body = await client.open({ kind: 'Pod', namespace, path: `/${pod}/log`, query, signal });
  for await (const line of linesOf(body)) yield stampedLine(line);
}

const stampForm = /^(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:\d\d)) ?/;

/** A line as the server sends it under `timestamps`, taken apart. */
export function stampedLine(line: string): StampedLine {
  const match = stampForm.exec(line);
  return match === null
    ? { stamp: undefined, text: line }
    : { stamp: match[1], text: line.slice(match[0].length) };
}

const wholeSecond = (stamp: string): string => stamp.replace(/\.\d+/, '');

/** Within one container's log the zone stays the same; trailing zeros are left out. */
export function isLater(a: string, b: string): boolean {
  const parts = (stamp: string): [number, string] => {
    const fraction = /\.(\d+)/.exec(stamp)?.[1] ?? '';
    return [Date.parse(wholeSecond(stamp)), fraction.padEnd(9, '0')];
  };
  const [secondsA, fractionA] = parts(a);
  const [secondsB, fractionB] = parts(b);
  return secondsA === secondsB ? fractionA > fractionB : secondsA > secondsB;
}
