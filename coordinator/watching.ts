// The page of a run: a coordinator serves it as long as it leads the run. Whatever goes wrong with
// it is a notice, and is tried again; the run never waits for it.

import type { HttpAccess } from '../shared/http/access.js';
import { startHttpServer, type Handler, type HttpServer } from '../shared/http/server.js';
import type { OnRefused } from '../shared/log.js';
import { messageOf } from '../shared/problems.js';
import type { ObjectStore } from '../shared/store/store.js';
import type { RunHistory } from '../watch/history/picture.js';
import { readPage } from '../watch/server/page-files.js';
import { createWatchServer, type WatchServer } from '../watch/server/watch-server.js';

/** Where the page is served, and to whom. */
export interface PagePlace {
  readonly host: string;
  readonly port: number;
  readonly access: HttpAccess;
}

export interface WatchingOptions {
  /** Undefined: nothing is served. */
  readonly place: PagePlace | undefined;
  /** Hears the events before this does. */
  readonly history: RunHistory;
  /** See `WatchServerOptions`. */
  readonly recent?: Pick<RunHistory, 'picture'>;
  readonly events: { subscribe(name: string, onEvent: () => void): () => void };
  /** The run's folder, for the pictures of the faces. */
  readonly store: Pick<ObjectStore, 'get'>;
  /** Served beside the page: metrics, health. */
  readonly routes: ReadonlyMap<string, Handler>;
  /** It is served from now on. */
  readonly onPage: (url: string) => void;
  readonly onNotice: (text: string) => void;
  /** Hears of requests that were not let in. */
  readonly onRefused?: OnRefused;
}

/** A page that is served, or tried to be. */
export interface Watching {
  /** Whoever looks gets the last picture. */
  close(): Promise<void>;
}

/** A predecessor that is about to end may still hold the port. */
const againMs = 3_000;

/** Answered without a token: probes have none. */
const openPaths = ['/healthz', '/readyz'];

/** Returns at once; serves as soon as the place is free. */
export function openWatching(options: WatchingOptions): Watching {
  const { place, events, onPage, onNotice, onRefused } = options;
  if (place === undefined) return { close: async () => undefined };
  let watching: WatchServer | undefined;
  let server: HttpServer | undefined;
  let timer: NodeJS.Timeout | undefined;
  let [isClosed, isRefused] = [false, false];
  const forget = events.subscribe('the page', () => watching?.changed());

  const open = async (): Promise<void> => {
    try {
      watching ??= createWatchServer({ ...options, page: await readPage() });
      const routes = new Map([...watching.routes, ...options.routes]);
      server = await startHttpServer({ ...place, key: '--http', routes, openPaths, onRefused });
      if (!isClosed) onPage(server.url);
    } catch (error) {
      if (isClosed) return;
      const text = messageOf(error).replace(/\n\s*-?\s*/g, ': ');
      if (!isRefused) onNotice(`the page is not served: ${text}; it is tried again`);
      isRefused = true;
      timer = setTimeout(() => {
        opening = open();
      }, againMs);
      timer.unref();
    }
  };
  let opening = open();
  return {
    close: async () => {
      isClosed = true;
      forget();
      clearTimeout(timer);
      await opening;
      watching?.close();
      await server?.close();
    },
  };
}
