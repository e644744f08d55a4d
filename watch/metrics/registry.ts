// Metrics for Prometheus: definitions that say how a value is read, the routes that answer with all
// of them, and the process's health. Values are read when somebody asks; between two scrapes there
// is no work. Names and units are those of https://prometheus.io/docs/practices/naming.

import { Counter, Gauge, Registry } from 'prom-client';
import type { Handler } from '../../shared/http/server.js';
import { messageOf } from '../../shared/problems.js';

/** A value with its labels. */
export type MetricSample = readonly [labels: Readonly<Record<string, string>>, value: number];

/** A metric, and how its value is read. */
export interface MetricDefinition {
  readonly kind: 'gauge' | 'counter';
  /** With its unit: "lockstep_eta_seconds"; a counter's ends in "_total". */
  readonly name: string;
  /** A sentence for people. */
  readonly help: string;
  readonly labels?: readonly string[];
  /** Undefined while there is no value; samples for a metric with labels. */
  read(): number | undefined | readonly MetricSample[];
}

/** What a process shows of itself. */
export interface MetricsSource {
  readonly definitions: readonly MetricDefinition[];
  /** Of all metrics: the run, once it is known, and the worker. */
  labels(): Readonly<Record<string, string>>;
  ready(): Readiness;
}

/** Whether the process does what it is there for, and why, in a line. */
export interface Readiness {
  readonly isReady: boolean;
  readonly reason: string;
}

/** The paths of `metricRoutes`. */
export const metricPaths = ['/metrics', '/healthz', '/readyz'] as const;

/**
 * `/metrics` in Prometheus' text format; `/healthz`, which any process answers whose event loop
 * turns; `/readyz`, with 503 until it is ready. Both give their reason as text.
 */
export function metricRoutes(source: MetricsSource): ReadonlyMap<string, Handler> {
  const registry = createRegistry(source.definitions);
  const metrics: Handler = async (_, response) => {
    try {
      registry.setDefaultLabels(source.labels());
      const text = await registry.metrics();
      response.writeHead(200, { 'Content-Type': registry.contentType }).end(text);
    } catch (error) {
      response.writeHead(500, plainText).end(`${messageOf(error)}\n`);
    }
  };
  const healthz: Handler = (_, response) => void response.writeHead(200, plainText).end('ok\n');
  const readyz: Handler = (_, response) => {
    const { isReady, reason } = source.ready();
    response.writeHead(isReady ? 200 : 503, plainText).end(`${reason}\n`);
  };
  const [metricsPath, healthPath, readyPath] = metricPaths;
  return new Map([
    [metricsPath, metrics],
    [healthPath, healthz],
    [readyPath, readyz],
  ]);
}

const plainText = { 'Content-Type': 'text/plain; charset=utf-8' } as const;

function createRegistry(definitions: readonly MetricDefinition[]): Registry {
  const registry = new Registry();
  for (const { kind, name, help, labels = [], read } of definitions) {
    const base = { name, help, labelNames: [...labels], registers: [registry] };
    if (kind === 'gauge')
      new Gauge({
        ...base,
        collect: collector(read, (gauge, given, value) => gauge.set(given, value)),
      });
    else
      new Counter({
        ...base,
        collect: collector(read, (counter, given, value) => counter.inc(given, value)),
      });
  }
  return registry;
}

interface Resettable {
  reset(): void;
  remove(labels: object): void;
}

/** Gives a metric the values of now, and no others. */
function collector<Metric extends Resettable>(
  read: MetricDefinition['read'],
  put: (metric: Metric, labels: Readonly<Record<string, string>>, value: number) => void,
): (this: Metric) => void {
  return function collect(this: Metric): void {
    const values = read();
    this.reset();
    // What has no labels is zero after that, and would be taken for a value.
    this.remove({});
    if (values === undefined) return;
    for (const [labels, value] of typeof values === 'number' ? [[{}, values] as const] : values)
      put(this, labels, value);
  };
}
