// The worker's own metrics and health over HTTP, from the network thread. It only reads: a port
// that is taken is a line in the log, and the worker goes on.

import { writeRefusals, writeSparingly, type Log } from '../../shared/log.js';
import { metricsAccess, probes } from '../../shared/http/metrics-access.js';
import { parseHttpPlace, startHttpServer } from '../../shared/http/server.js';
import { packageVersion } from '../../shared/paths.js';
import { shareOf } from '../../shared/plan/reduction.js';
import { messageOf } from '../../shared/problems.js';
import type { Certificates } from '../../shared/tls/certificates.js';
import { metricRoutes } from '../../watch/metrics/registry.js';
import {
  createWorkerCounts,
  workerMetrics,
  type WorkerCounts,
  type WorkerFigures,
} from '../../watch/metrics/worker.js';
import type { WorkerState } from '../core/state.js';
import type { ToNetwork } from './ports.js';

export interface WorkerMetricsOptions {
  /** "host:port" to answer at. */
  readonly listen: string;
  /** With them others than this machine need a certificate too. */
  readonly certificates: Certificates | undefined;
  readonly coordinators: readonly string[];
  readonly state: WorkerState;
  readonly log: Log;
}

/** Hears what the compute thread reports; `state` has heard of it already. */
export interface WatchedWorker {
  onCompute(message: ToNetwork): void;
}

/** Answers until the thread ends. */
export function watchWorker(options: WorkerMetricsOptions): WatchedWorker {
  const { state } = options;
  const counts = createWorkerCounts();
  void serve(options, counts);
  return {
    onCompute: (message) => {
      if (message.kind === 'paced') counts.stepped(state.pace);
      else if (message.kind === 'entered') counts.microShards = message.vectors.microShards;
      else if (message.kind === 'tell' && message.message.kind === 'partStored')
        counts.stored(message.message.bytes);
    },
  };
}

async function serve(options: WorkerMetricsOptions, counts: WorkerCounts): Promise<void> {
  const { listen, log, certificates } = options;
  const version = packageVersion();
  const figures = (): WorkerFigures => figuresOf(options, counts, version);
  const routes = metricRoutes(workerMetrics(figures, counts));
  const place = parseHttpPlace(listen);
  if (place === undefined) return log.warn('no metrics', { reason: `${listen} is no HOST:PORT` });
  try {
    const access = metricsAccess(listen, certificates);
    const onRefused = writeRefusals(writeSparingly(log.warn));
    const served = { access, routes, openPaths: probes, onRefused };
    const { url } = await startHttpServer({ ...place, key: '--metrics', ...served });
    log.info('metrics', { url });
  } catch (error) {
    log.warn('no metrics', { reason: messageOf(error) });
  }
}

function slowLinkOf({ pace: { slowLink, linkBytesPerS } }: WorkerState): WorkerFigures['slowLink'] {
  if (slowLink === undefined || linkBytesPerS === undefined) return undefined;
  return { peer: slowLink, bytesPerS: linkBytesPerS };
}

function figuresOf(
  { state, coordinators }: WorkerMetricsOptions,
  counts: WorkerCounts,
  version: string,
): WorkerFigures {
  const { config, run, world, stage, step, term, fingerprint, isWelcome, suspicions } = state;
  const isMember = world.generation > 0 && !['joining', 'ready', 'ended'].includes(stage);
  const worldSize = isMember ? world.members.length : 0;
  const share = shareOf(state.rank, Math.max(1, worldSize), counts.microShards);
  return {
    ...{ version, worker: config.worker, run: run?.id, isWelcome, coordinators },
    ...{ stage, step, term, fingerprint, generation: world.generation },
    rank: isMember ? state.rank : -1,
    worldSize,
    microShards: isMember ? share.end - share.start : 0,
    unreachablePeers: suspicions.size,
    slowLink: slowLinkOf(state),
  };
}
