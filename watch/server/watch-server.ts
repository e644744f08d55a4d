// What the page that shows a run is served: its files, the run's picture, series and time line as
// JSON, a stream of pictures, and the samples by the number of their step. It only shows.

import { createHash } from 'node:crypto';
import type { ServerResponse } from 'node:http';
import { extname } from 'node:path';
import { mediaTypes, refuse, type Handler } from '../../shared/http/server.js';
import { frameKey, largestFrame, sampleKey } from '../../shared/store/sample-keys.js';
import { ObjectNotFound, type ObjectStore } from '../../shared/store/store.js';
import type { RunHistory } from '../history/picture.js';
import type { PageContent } from './page-files.js';

export interface WatchServerOptions {
  readonly history: Pick<RunHistory, 'picture' | 'series' | 'timeLine'>;
  /** What each reader is given who asks; the stream has the newest. Default: that as well. */
  readonly recent?: Pick<RunHistory, 'picture'>;
  /** The run's folder. */
  readonly store: Pick<ObjectStore, 'get'>;
  readonly page: PageContent;
  /** Shortest time between two pictures of the stream. */
  readonly everyMs?: number;
}

/** Routes for an HTTP server; the streams are its own until `close`. */
export interface WatchServer {
  readonly routes: ReadonlyMap<string, Handler>;
  /** The history has changed: whoever looks at it hears so soon. */
  changed(): void;
  /** Ends the streams. */
  close(): void;
}

const mostStreams = 64;
const mostReads = 8;
const mostPoints = 10_000;

/** A reader that is so far behind misses pictures. */
const mostWaitingBytes = 2 ** 20;
const beatMs = 15_000;

/** Where a step's pictures lie, by where the page asks for them. */
const pictures = { '/frames/': frameKey, '/samples/': sampleKey } as const;

/** Nothing is read or computed before somebody asks. */
export function createWatchServer(options: WatchServerOptions): WatchServer {
  const { history, page, recent = history } = options;
  const streams = createStreams({ history, recent, everyMs: options.everyMs ?? 1_000 });
  const readPicture = createPictureReader(options.store);
  const routes = new Map<string, Handler>([
    ['/', givePage(page)],
    ['/api/picture', (_request, response) => giveJson(response, recent.picture())],
    ['/api/timeline', (_request, response) => giveJson(response, history.timeLine())],
    ['/api/series', giveSeries(history)],
    [
      '/api/stream',
      ({ method }, response) => (method === 'HEAD' ? void response.end() : streams.add(response)),
    ],
  ]);
  for (const [path, keyOf] of Object.entries(pictures))
    routes.set(path, async (request, response, { pathname }) => {
      const digits = /^(0|[1-9]\d{0,14})\.png$/.exec(pathname.slice(path.length))?.[1];
      if (digits === undefined)
        return refuse(response, 404, 'A picture is asked for by its step: 400.png.');
      const found = await readPicture(keyOf(Number(digits)));
      if ('status' in found) return refuse(response, found.status, found.text);
      // The next run may be served at this address, and a step may be taken again.
      response.setHeader('Cache-Control', 'private, no-cache').setHeader('ETag', found.etag);
      if (request.headers['if-none-match'] === found.etag)
        return void response.writeHead(304).end();
      response.setHeader('Content-Type', 'image/png').end(found.bytes);
    });
  return { routes, changed: streams.changed, close: streams.close };
}

function givePage({ files, contentSecurityPolicy }: PageContent): Handler {
  return (_request, response, { pathname }) => {
    const content = files.get(pathname.slice(1));
    if (content === undefined) return refuse(response, 404, 'There is nothing of this name.');
    const type = pathname === '/' ? '.html' : extname(pathname);
    response.setHeader('Content-Security-Policy', contentSecurityPolicy);
    response.setHeader('Content-Type', mediaTypes[type] ?? 'application/octet-stream');
    response.setHeader('Content-Length', content.length).end(content);
  };
}

function giveJson(response: ServerResponse, value: unknown): void {
  response.setHeader('Content-Type', 'application/json; charset=utf-8').end(JSON.stringify(value));
}

function giveSeries(history: Pick<RunHistory, 'series'>): Handler {
  return (_request, response, { searchParams }) => {
    const problems: string[] = [];
    const numberOf = (name: string, most: number): number | undefined => {
      const text = searchParams.get(name);
      if (text === null) return undefined;
      const number = /^\d{1,16}$/.test(text) ? Number(text) : NaN;
      if (!(number <= most)) problems.push(`${name}: a whole number from 0 to ${most}`);
      return number;
    };
    const points = numberOf('points', mostPoints) ?? 1_000;
    const from = numberOf('from', Number.MAX_SAFE_INTEGER);
    const to = numberOf('to', Number.MAX_SAFE_INTEGER);
    if (problems.length > 0) return refuse(response, 400, problems.join('; '));
    const range = { ...(from === undefined ? {} : { from }), ...(to === undefined ? {} : { to }) };
    giveJson(response, history.series({ points, ...range }));
  };
}

type FoundPicture =
  | { readonly bytes: Buffer; readonly etag: string }
  | { readonly status: number; readonly text: string };

const pngSignature = Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]);

/** Reads pictures of the run's folder, a few at a time; what can't be read is a reason. */
function createPictureReader(
  store: Pick<ObjectStore, 'get'>,
): (key: string) => Promise<FoundPicture> {
  let underWay = 0;
  return async (key) => {
    if (underWay >= mostReads)
      return { status: 503, text: 'Too many pictures are read. Try again in a while.' };
    underWay++;
    try {
      const bytes = await store.get(key, { start: 0, end: largestFrame + 1 });
      const isPng = bytes.subarray(0, pngSignature.length).equals(pngSignature);
      if (!isPng || bytes.length > largestFrame)
        return { status: 404, text: 'What lies there is no picture of a sample.' };
      const sum = createHash('sha256').update(bytes).digest('base64url');
      return { bytes, etag: `"${sum.slice(0, 22)}"` };
    } catch (error) {
      if (error instanceof ObjectNotFound)
        return { status: 404, text: 'There is no picture of this step.' };
      return { status: 503, text: "The run's folder can't be read now." };
    } finally {
      underWay--;
    }
  };
}

interface Streams {
  add(response: ServerResponse): void;
  changed(): void;
  close(): void;
}

/** Pictures for all who look, none more often than every `everyMs`, and none that nobody sees. */
function createStreams({
  history,
  recent,
  everyMs,
}: Required<Pick<WatchServerOptions, 'history' | 'recent' | 'everyMs'>>): Streams {
  const open = new Set<ServerResponse>();
  let timer: NodeJS.Timeout | undefined;
  let pauseMs = everyMs;

  const textOf = (picture: unknown): string =>
    `event: picture\ndata: ${JSON.stringify(picture)}\n\n`;
  const send = (text: string): void => {
    for (const response of open)
      if (response.writableLength < mostWaitingBytes) response.write(text);
  };
  const sendNewest = (): void => {
    timer = undefined;
    if (open.size === 0) return;
    const startMs = performance.now();
    send(textOf(history.picture()));
    // However long a picture takes, a twentieth of the time goes into pictures at most.
    pauseMs = Math.max(everyMs, 20 * (performance.now() - startMs));
  };
  const changed = (): void => {
    if (open.size === 0 || timer !== undefined) return;
    timer = setTimeout(sendNewest, pauseMs);
    timer.unref();
  };
  const beat = setInterval(() => send(': here\n\n'), beatMs);
  beat.unref();
  return {
    add: (response) => {
      if (open.size >= mostStreams)
        return refuse(response, 503, 'Too many pages look at this run. Close some.');
      response.writeHead(200, { 'Content-Type': 'text/event-stream; charset=utf-8' });
      response.write('retry: 1000\n\n');
      response.write(textOf(recent.picture()));
      open.add(response);
      response.once('close', () => open.delete(response));
      // There may be a newer one already.
      changed();
    },
    changed,
    close: () => {
      clearInterval(beat);
      clearTimeout(timer);
      // How the run has ended is in it.
      sendNewest();
      for (const response of open) response.end();
    },
  };
}
