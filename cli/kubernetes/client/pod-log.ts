// The log of one container, line by line. Where the connection is lost while a log is followed, it
// is taken up again: the server's time of each line says which were seen.

import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { ClusterError, retryDelayMs } from './answers.js';
import type { ClusterClient } from './cluster-client.js';
import { pathOf } from './resources.js';

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

/** Yields the lines. A container that has not started yet has none; throws what is refused. */
export async function* podLog(client: ClusterClient, request: LogRequest): AsyncGenerator<string> {
  let last: string | undefined;
  for (let failures = 0; ;) {
    const seen = last;
    try {
      for await (const { stamp, text } of stampedLines(client, request, seen)) {
        if (seen !== undefined && stamp !== undefined && !isLater(stamp, seen)) continue;
        last = stamp ?? last;
        failures = 0;
        yield text;
      }
      return;
    } catch (error) {
      if (request.signal?.aborted) return;
      if (isNotStarted(error) && !request.follow) return;
      const waitMs = isNotStarted(error) ? startMs : retryDelayMs(error, ++failures, client.limits);
      if (waitMs === undefined) throw error;
      const { signal } = request;
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
  const { body } = await client.open({
    method: 'GET',
    path: `${pathOf('Pod', namespace, pod)}/log`,
    query: {
      ...{ container, follow, timestamps: true },
      ...(last === undefined ? { tailLines: tail } : { sinceTime: wholeSecond(last) }),
    },
    signal,
  });
  let broken: Error | undefined;
  body.once('error', (error: Error) => (broken = error));
  const lines = createInterface({ input: body });
  try {
    for await (const line of lines) yield stampedLine(line);
  } finally {
    lines.close();
    body.destroy();
  }
  if (broken !== undefined) throw broken;
}

const stampForm = /^(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:\d\d)) ?/;

/** A line as the server sends it under `timestamps`, taken apart. */
export function stampedLine(line: string): StampedLine {
  const match = stampForm.exec(line);
  return match === null
    ? { stamp: undefined, text: line }
    : { stamp: match[1], text: line.slice(match[0].length) };
}

/** The server takes whole seconds: the line itself and its neighbours come again. */
function wholeSecond(stamp: string): string {
  return stamp.replace(/\.\d+/, '');
}

/** Within one container's log the zone stays the same; trailing zeros are left out. */
export function isLater(a: string, b: string): boolean {
  const [secondsA, fractionA] = parts(a);
  const [secondsB, fractionB] = parts(b);
  return secondsA === secondsB ? fractionA > fractionB : secondsA > secondsB;
}

function parts(stamp: string): [number, string] {
  const fraction = /\.(\d+)/.exec(stamp)?.[1] ?? '';
  return [Date.parse(wholeSecond(stamp)), fraction.padEnd(9, '0')];
}
