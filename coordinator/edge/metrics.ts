// The coordinator's metrics and health over HTTP: on a place of their own while it stands by and
// while it leads, and as routes for whoever else serves. A port that is taken is a notice, and the
// run goes on.

import type { BusHealth } from '../../shared/events/bus.js';
import { metricsAccess, probes } from '../../shared/http/metrics-access.js';
import {
  parseHttpPlace,
  startHttpServer,
  type Handler,
  type HttpServer,
} from '../../shared/http/server.js';
import type { OnRefused } from '../../shared/log.js';
import { packageVersion } from '../../shared/paths.js';
import { messageOf } from '../../shared/problems.js';
import type { Certificates } from '../../shared/tls/certificates.js';
import type { StoreHealth } from '../../shared/store/notices.js';
import type { RunPicture } from '../../watch/history/picture.js';
import {
  coordinatorMetrics,
  createEventCounts,
  type LeadingFigures,
} from '../../watch/metrics/coordinator.js';
import { metricRoutes } from '../../watch/metrics/registry.js';
import type { RunEvents } from './run-events.js';

export interface MetricsOptions {
  /** "host:port"; undefined: routes only. */
  readonly listen: string | undefined;
  readonly run: string;
  /** With them others than this machine need a certificate too. */
  readonly certificates?: Certificates | undefined;
  readonly onNotice: (text: string) => void;
  /** Hears of requests that were not let in, there and on the page. */
  readonly onRefused: OnRefused;
}

/** What is known of a run by who leads it. */
export interface LedSources {
  readonly events: Pick<RunEvents, 'subscribe'>;
  /** Undefined until it is known what happened before. */
  picture(): RunPicture | undefined;
  bus(): BusHealth;
  store(): StoreHealth;
}

export interface CoordinatorMetrics {
  readonly routes: ReadonlyMap<string, Handler>;
  /** From now on this coordinator leads; to be called before the first event. */
  lead(sources: LedSources): void;
  close(): Promise<void>;
}

/** Answers from now on; what stands by says so. */
export async function openMetrics(options: MetricsOptions): Promise<CoordinatorMetrics> {
  let led: LeadingFigures | undefined;
  const { listen, run } = options;
  const waitsFor = (): string => 'another coordinator leads the run, or this one is starting';
  const figures = { version: packageVersion(), run, leading: () => led, waitsFor };
  const routes = metricRoutes(coordinatorMetrics(figures));
  const server = listen === undefined ? undefined : await serveMetrics(listen, routes, options);
  return {
    routes,
    lead: ({ events, picture, bus, store }) => {
      const counts = createEventCounts();
      led = { counts, picture, bus, store };
      events.subscribe('metrics', (_, parsed) => {
        if (parsed !== undefined) counts.add(parsed);
      });
    },
    close: async () => server?.close(),
  };
}

async function serveMetrics(
  listen: string,
  routes: ReadonlyMap<string, Handler>,
  { onNotice, onRefused, certificates }: MetricsOptions,
): Promise<HttpServer | undefined> {
  const place = parseHttpPlace(listen);
  if (place === undefined) return void onNotice(`no metrics: ${listen} is no HOST:PORT`);
  try {
    const access = metricsAccess(listen, certificates);
    const served = { access, routes, openPaths: probes, onRefused };
    return await startHttpServer({ ...place, key: '--metrics', ...served });
  } catch (error) {
    return void onNotice(`no metrics: ${messageOf(error)}`);
  }
}
