// What a worker shows to Prometheus: what it has done since it started, and where it is now. All of
// it comes from the network thread, which answers while the compute thread is in a native call.

import type { Pace } from '../../shared/control/messages.js';
import { processMetrics } from './process.js';
import type { MetricDefinition, MetricsSource, MetricSample } from './registry.js';

/** What a worker knows when it is asked. */
export interface WorkerFigures {
  readonly version: string;
  readonly worker: string;
  readonly run: string | undefined;
  /** It has joined a coordinator, which has answered. */
  readonly isWelcome: boolean;
  /** Addresses of the coordinators, for /readyz. */
  readonly coordinators: readonly string[];
  readonly stage: string;
  readonly step: number;
  /** -1: in no world. */
  readonly rank: number;
  readonly worldSize: number;
  readonly generation: number;
  readonly term: number;
  /** Empty until the run is loaded. */
  readonly fingerprint: string;
  /** Micro-shards of a step that are this worker's. */
  readonly microShards: number;
  /** Peers of its world that it can't reach. */
  readonly unreachablePeers: number;
  /** The link that the exchange of its last step waited for, if it was slow. */
  readonly slowLink: { readonly peer: string; readonly bytesPerS: number } | undefined;
}

/** What a worker has done since it started. */
export interface WorkerCounts {
  /** A step was committed at this pace. */
  stepped(pace: Pace): void;
  /** A file of a checkpoint is stored. */
  stored(bytes: number): void;
  /** Of a step, of all workers together; 0 before the first world. */
  microShards: number;
  readonly steps: number;
  readonly seconds: Readonly<Record<'data' | 'compute' | 'exchange' | 'update', number>>;
  readonly waitedS: number;
  readonly sentBytes: number;
  readonly receivedBytes: number;
  readonly parts: number;
  readonly partBytes: number;
}

/** Counts from zero. */
export function createWorkerCounts(): WorkerCounts {
  const seconds = { data: 0, compute: 0, exchange: 0, update: 0 };
  const counts = {
    ...{ microShards: 0, steps: 0, seconds, waitedS: 0, sentBytes: 0, receivedBytes: 0 },
    ...{ parts: 0, partBytes: 0 },
  };
  return Object.assign(counts, {
    stepped: (pace: Pace): void => {
      counts.steps += 1;
      seconds.data += pace.dataS;
      seconds.compute += pace.computeS;
      seconds.exchange += pace.exchangeS;
      seconds.update += pace.updateS;
      counts.waitedS += pace.waitedS;
      counts.sentBytes += pace.sentBytes;
      counts.receivedBytes += pace.receivedBytes;
    },
    stored: (bytes: number): void => {
      counts.parts += 1;
      counts.partBytes += bytes;
    },
  });
}

/** The metrics and the health of a worker. */
export function workerMetrics(figures: () => WorkerFigures, counts: WorkerCounts): MetricsSource {
  return {
    labels: () => {
      const { worker, run } = figures();
      return { worker, ...(run === undefined ? {} : { run }) };
    },
    ready: () => {
      const { isWelcome, coordinators, stage, step, rank, worldSize } = figures();
      if (!isWelcome)
        return {
          isReady: false,
          reason: `looks for its coordinator at ${coordinators.join(', ')}`,
        };
      const place = rank < 0 ? 'in no world' : `rank ${rank} of ${worldSize}`;
      return { isReady: true, reason: `${stage}, ${place}, step ${step}` };
    },
    definitions: [
      {
        ...{ kind: 'gauge', name: 'lockstep_worker_info' },
        labels: ['version', 'fingerprint'],
        help: 'Always 1: the version of Lockstep, and what the worker computes with.',
        read: () => {
          const { version, fingerprint } = figures();
          return [[{ version, fingerprint }, 1]];
        },
      },
      ...gauges.map(([name, help, read]): MetricDefinition => {
        return { kind: 'gauge', name, help, read: () => read(figures()) };
      }),
      {
        ...{ kind: 'gauge', name: 'lockstep_worker_slow_link_bytes_per_second', labels: ['peer'] },
        help: 'What the link brings that the exchange waits for; none where none is slow.',
        read: () => {
          const { slowLink } = figures();
          return slowLink === undefined ? [] : [[{ peer: slowLink.peer }, slowLink.bytesPerS]];
        },
      },
      ...counters.map(([name, help, read]): MetricDefinition => {
        return { kind: 'counter', name, help, read: () => read(counts) };
      }),
      {
        ...{ kind: 'counter', name: 'lockstep_worker_phase_seconds_total', labels: ['phase'] },
        help: 'Seconds of steps by phase: data, compute, exchange, update.',
        read: () =>
          Object.entries(counts.seconds).map(([phase, value]): MetricSample => [{ phase }, value]),
      },
      ...processMetrics(),
    ],
  };
}

type Read<Of> = readonly [name: string, help: string, read: (of: Of) => number];

const gauges: readonly Read<WorkerFigures>[] = [
  ['lockstep_worker_joined', 'Whether a coordinator has taken it.', (of) => Number(of.isWelcome)],
  ['lockstep_worker_training', 'Whether it trains.', (of) => Number(of.stage === 'training')],
  ['lockstep_worker_step', 'Steps committed in its state.', ({ step }) => step],
  ['lockstep_worker_rank', 'Its rank; -1 in no world.', ({ rank }) => rank],
  ['lockstep_worker_world_size', 'Workers of its world.', ({ worldSize }) => worldSize],
  ['lockstep_worker_generation', 'Number of its world.', ({ generation }) => generation],
  ['lockstep_worker_term', 'Highest term of a coordinator heard of.', ({ term }) => term],
  ['lockstep_worker_micro_shards', 'Its micro-shards of a step.', (of) => of.microShards],
  [
    'lockstep_worker_unreachable_peers',
    'Peers of its world that it can not reach.',
    (of) => of.unreachablePeers,
  ],
];

const counters: readonly Read<WorkerCounts>[] = [
  ['lockstep_worker_steps_total', 'Steps that it has taken.', ({ steps }) => steps],
  [
    'lockstep_worker_wait_seconds_total',
    'Seconds of the exchange in which it waited for one peer alone.',
    ({ waitedS }) => waitedS,
  ],
  ['lockstep_worker_sent_bytes_total', 'Bytes sent for the exchange.', (of) => of.sentBytes],
  [
    'lockstep_worker_received_bytes_total',
    'Bytes received for the exchange.',
    (of) => of.receivedBytes,
  ],
  ['lockstep_worker_checkpoint_parts_total', 'Checkpoint files stored.', ({ parts }) => parts],
  [
    'lockstep_worker_checkpoint_bytes_total',
    'Bytes of checkpoint files stored.',
    ({ partBytes }) => partBytes,
  ],
];
