// Metrics that every process has: memory, processor time, start, and how late its event loop is,
// under the names that Prometheus' clients share.

import { monitorEventLoopDelay, performance } from 'node:perf_hooks';
import type { MetricDefinition } from './registry.js';

/** How often the event loop's lateness is looked at. */
const resolutionMs = 50;

/** Of the process, and of the thread that calls this. */
export function processMetrics(): MetricDefinition[] {
  const delay = monitorEventLoopDelay({ resolution: resolutionMs });
  delay.enable();
  const seconds = (nanoseconds: number): number =>
    Math.max(0, nanoseconds / 1e9 - resolutionMs / 1000);
  const startS = (performance.timeOrigin + performance.now()) / 1000 - process.uptime();
  return [
    {
      ...{ kind: 'gauge', name: 'process_resident_memory_bytes' },
      help: 'Resident memory of the process in bytes.',
      read: () => process.memoryUsage.rss(),
    },
    {
      ...{ kind: 'counter', name: 'process_cpu_seconds_total' },
      help: 'Processor time of the process in seconds, user and system.',
      read: () => {
        const { user, system } = process.cpuUsage();
        return (user + system) / 1e6;
      },
    },
    {
      ...{ kind: 'gauge', name: 'process_start_time_seconds' },
      help: 'Start of the process, in seconds since 1970.',
      read: () => startS,
    },
    {
      ...{ kind: 'gauge', name: 'lockstep_event_loop_lag_seconds', labels: ['of'] },
      help: 'How late the event loop that answers is, since the last scrape.',
      read: () => {
        const lag = [
          [{ of: 'p50' }, seconds(delay.percentile(50))],
          [{ of: 'p99' }, seconds(delay.percentile(99))],
          [{ of: 'max' }, seconds(delay.max)],
        ] as const;
        delay.reset();
        return lag;
      },
    },
  ];
}
