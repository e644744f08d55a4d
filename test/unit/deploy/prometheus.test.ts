// What is written for Prometheus and Grafana names metrics that there are, and Prometheus' own tool
// finds the alerts right and to fire where they should.

import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { parse } from 'yaml';
import { manifestFiles } from '../../../cli/kubernetes/manifests.js';
import { metricsPort } from '../../../cli/kubernetes/objects/pod.js';
import { packageFile } from '../../../shared/paths.js';
import { coordinatorMetrics } from '../../../watch/metrics/coordinator.js';
import type { MetricDefinition } from '../../../watch/metrics/registry.js';
import { createWorkerCounts, workerMetrics } from '../../../watch/metrics/worker.js';
import { testFolder } from '../../support/tiny-run.js';
import { promtool, withoutPromtool } from '../../support/watch/promtool.js';

const read = (path: string): string => readFileSync(packageFile(path), 'utf8');

const coordinator = coordinatorMetrics({
  ...{ version: '1', run: 'r', leading: () => undefined, waitsFor: () => '' },
});
const worker = workerMetrics(() => assert.fail(), createWorkerCounts());
const definitions = new Map<string, MetricDefinition>(
  [...coordinator.definitions, ...worker.definitions].map((one) => [one.name, one]),
);

/** What is wrong with a query by what the programs define. */
function problemsOf(query: string): string[] {
  const names = [...query.matchAll(/\b(?:lockstep|process)_\w+/g)].map(([name]) => name);
  const known = names.filter((name) => !definitions.has(name)).map((name) => `no metric ${name}`);
  // A counter means something by its growth only.
  const bare = names.filter((name) => {
    const isGrowth = new RegExp(`(rate|increase)\\(${name}\\b`).test(query);
    const isCounter = definitions.get(name)?.kind === 'counter';
    return isCounter && !isGrowth;
  });
  return [...known, ...bare.map((name) => `${name} is a counter`)];
}

interface Panel {
  readonly title: string;
  readonly gridPos: Readonly<Record<'x' | 'y' | 'w' | 'h', number>>;
  readonly targets?: readonly { readonly expr: string }[];
}

interface Rules {
  readonly groups: readonly { readonly rules: readonly { alert: string; expr: string }[] }[];
}

test('every query of the dashboard names a metric that there is, by its kind', () => {
  const { panels } = JSON.parse(read('deploy/grafana/lockstep.json')) as { panels: Panel[] };
  const queries = panels.flatMap(({ targets = [] }) => targets.map(({ expr }) => expr));
  assert.ok(queries.length > 30);
  assert.deepEqual(queries.flatMap(problemsOf), []);
  for (const { title, gridPos } of panels) assert.ok(gridPos.x + gridPos.w <= 24, title);
  // The check itself.
  assert.deepEqual(problemsOf('lockstep_steps + lockstep_steps_total'), [
    'no metric lockstep_steps',
    'lockstep_steps_total is a counter',
  ]);
});

test('docs/watching.md has every metric that there is, and no other', () => {
  const section = /\n## Prometheus\n.*?\n## /s.exec(read('docs/watching.md'))?.[0] ?? '';
  const rows = section.split('\n').filter((line) => line.startsWith('| `'));
  const named = rows.flatMap((row) =>
    [...row.matchAll(/`((?:lockstep|process)_\w+)`/g)].map(([, name]) => name),
  );
  assert.deepEqual(named.sort(), [...definitions.keys()].sort());
});

test('every query of the dashboard is one', { skip: withoutPromtool }, () => {
  const { panels } = JSON.parse(read('deploy/grafana/lockstep.json')) as { panels: Panel[] };
  const rules = panels
    .flatMap(({ targets = [] }) => targets)
    .map(({ expr }, i) => ({
      record: `query:${i}`,
      expr: expr.replaceAll('$__rate_interval', '1m'),
    }));
  const file = join(testFolder(), 'queries.yaml');
  writeFileSync(file, JSON.stringify({ groups: [{ name: 'dashboard', rules }] }));
  const { code, said } = promtool(['check', 'rules', file]);
  assert.equal(code, 0, said);
});

test('every alert names metrics that there are', () => {
  const { groups } = parse(read('deploy/prometheus/alerts.yaml')) as Rules;
  const rules = groups.flatMap((group) => group.rules);
  assert.deepEqual(
    rules.flatMap(({ expr }) => problemsOf(expr)),
    [],
  );
  const cases = read('deploy/prometheus/alerts.test.yaml');
  const wanted = ['Stalled', 'WorkersLost', 'SkippingSteps', 'StoreAway'];
  for (const name of wanted) assert.ok(rules.some(({ alert }) => alert === `Lockstep${name}`));
  assert.match(cases, /rule_files:\n {2}- alerts\.yaml/);
});

test('alerts are right, and fire where they should', { skip: withoutPromtool }, () => {
  for (const [what, file] of [
    ['check', 'alerts.yaml'],
    ['test', 'alerts.test.yaml'],
  ] as const) {
    const { code, said } = promtool([what, 'rules', packageFile(`deploy/prometheus/${file}`)]);
    assert.equal(code, 0, said);
  }
});

test('the operator gets the same rules, and scrapes the port that pods have', () => {
  const rule = parse(manifestFiles().get('components/prometheus/rules.yaml') ?? '') as {
    spec: unknown;
  };
  assert.deepEqual(rule.spec, parse(read('deploy/prometheus/alerts.yaml')));
  const monitor = parse(read('deploy/k8s/components/prometheus/pod-monitor.yaml')) as {
    spec: { selector: unknown; podMetricsEndpoints: { port: string }[] };
  };
  assert.deepEqual(
    monitor.spec.podMetricsEndpoints.map(({ port }) => port),
    [metricsPort.name],
  );
  assert.deepEqual(monitor.spec.selector, {
    matchLabels: { 'app.kubernetes.io/name': 'lockstep' },
  });
});
