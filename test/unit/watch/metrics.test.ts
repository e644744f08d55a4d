// What coordinator and worker answer to Prometheus: each value from its source, none that is not
// known, and nothing that Prometheus' own judge objects to.

import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { startHttpServer, type HttpServer } from '../../../shared/http/server.js';
import type { EventData, EventType, TypedEvent } from '../../../shared/events/kinds.js';
import {
  coordinatorMetrics,
  createEventCounts,
  type CoordinatorFigures,
  type EventCounts,
} from '../../../watch/metrics/coordinator.js';
import { metricRoutes, type MetricsSource } from '../../../watch/metrics/registry.js';
import {
  createWorkerCounts,
  workerMetrics,
  type WorkerFigures,
} from '../../../watch/metrics/worker.js';
import { promtool, withoutPromtool } from '../../support/watch/promtool.js';
import { somePicture } from '../../support/watch/run-picture.js';

const servers: HttpServer[] = [];
after(() => Promise.all(servers.map((server) => server.close())));

/** Serves a source and gives what is asked for: status and body. */
async function serve(source: MetricsSource) {
  const server = await startHttpServer({
    ...{ host: '127.0.0.1', port: 0, key: '--metrics', access: { kind: 'open' } },
    routes: metricRoutes(source),
  });
  servers.push(server);
  return async (path: string): Promise<{ readonly status: number; readonly text: string }> => {
    const answer = await fetch(new URL(path, server.url));
    return { status: answer.status, text: await answer.text() };
  };
}

/** The lines of values, by what stands before the value. */
function valuesOf(text: string): ReadonlyMap<string, number> {
  const lines = text.split('\n').filter((line) => line !== '' && !line.startsWith('#'));
  return new Map(
    lines.map((line) => [
      line.slice(0, line.lastIndexOf(' ')),
      Number(line.slice(line.lastIndexOf(' ') + 1)),
    ]),
  );
}

const event = <T extends EventType>(type: T, data: Partial<EventData<T>>): TypedEvent =>
  ({ type, data }) as unknown as TypedEvent;

/** A coordinator that leads, after some events. */
function led(): { readonly figures: CoordinatorFigures; readonly counts: EventCounts } {
  const counts = createEventCounts();
  counts.add(event('run.started', { images_per_step: 16 }));
  counts.add(event('world.formed', { members: [] }));
  counts.add(event('step.committed', { step: 11 }));
  counts.add(event('world.lost', { silent_ms: 2100 }));
  counts.add(event('world.lost', { silent_ms: 0 }));
  const member = { rank: 0, worker: 'w', incarnation: 1, address: 'a:1' };
  counts.add(event('world.formed', { members: [member, member] }));
  counts.add(event('step.committed', { step: 11, redone: true }));
  counts.add(event('step.committed', { step: 12, skipped: true }));
  counts.add(event('checkpoint.committed', {}));
  const figures: CoordinatorFigures = {
    ...{ version: '1.2.3', run: 'faces', waitsFor: () => 'waits' },
    leading: () => ({
      ...{ picture: () => somePicture, counts },
      bus: () => ({ waiting: 3, dropped: 4 }),
      store: () => ({ failed: 5, isAway: true }),
    }),
  };
  return { figures, counts };
}

const workerFigures: WorkerFigures = {
  ...{ version: '1.2.3', worker: 'w-1', run: 'faces', isWelcome: true, coordinators: ['c:7400'] },
  ...{ stage: 'training', step: 12, rank: 1, worldSize: 3, generation: 8, term: 2 },
  ...{ fingerprint: 'onnx', microShards: 2, unreachablePeers: 1 },
  slowLink: { peer: 'w-2', bytesPerS: 480_000 },
};

test('a coordinator that leads answers with its picture and its counts', async () => {
  const ask = await serve(coordinatorMetrics(led().figures));
  const { status, text } = await ask('/metrics');
  assert.equal(status, 200);
  const values = valuesOf(text);
  const expected: Readonly<Record<string, number>> = {
    'lockstep_leading{run="faces"}': 1,
    'lockstep_build_info{version="1.2.3",fingerprint="onnx 1.2 cpu",run="faces"}': 1,
    'lockstep_step{run="faces"}': 12,
    'lockstep_step_target{run="faces"}': 40,
    'lockstep_eta_seconds{run="faces"}': 11.2,
    'lockstep_training_value{name="loss/generator",run="faces"}': 0.5,
    'lockstep_training_value{name="score/real",run="faces"}': Number.NaN,
    'lockstep_psnr_decibels{of="bicubic",run="faces"}': 22.25,
    'lockstep_checkpoint_timestamp_seconds{run="faces"}':
      Date.parse('2026-05-01T10:00:52.000Z') / 1000,
    'lockstep_lost_seconds{cause="starting",run="faces"}': 5,
    'lockstep_straggler_excess_seconds{worker="w-2",phase="compute",run="faces"}': 0.25,
    'lockstep_steps_total{run="faces"}': 3,
    'lockstep_images_total{run="faces"}': 48,
    'lockstep_skipped_steps_total{run="faces"}': 1,
    'lockstep_redone_steps{run="faces"}': 2,
    'lockstep_world_size{run="faces"}': 2,
    'lockstep_lost_workers_total{reason="unreachable",run="faces"}': 1,
    'lockstep_lost_workers_total{reason="failed",run="faces"}': 1,
    'lockstep_last_step_timestamp_seconds{run="faces"}':
      Date.parse('2026-05-01T10:00:59.500Z') / 1000,
    'lockstep_event_queue_length{run="faces"}': 3,
    'lockstep_dropped_events_total{run="faces"}': 4,
    'lockstep_store_failures_total{run="faces"}': 5,
    'lockstep_store_away{run="faces"}': 1,
  };
  const given = Object.keys(expected).map((key) => [key, values.get(key)]);
  assert.deepEqual(Object.fromEntries(given), expected);
  const ready = await ask('/readyz');
  assert.deepEqual(ready, { status: 200, text: 'leads the run in term 2, step 12 of 40\n' });
});

test('one that leads shows nothing of the run before it knows what happened', async () => {
  const { figures, counts } = led();
  const now = figures.leading();
  const ask = await serve(
    coordinatorMetrics({
      ...figures,
      leading: () => now && { ...now, picture: () => undefined, counts },
    }),
  );
  const values = valuesOf((await ask('/metrics')).text);
  assert.equal(values.get('lockstep_leading{run="faces"}'), 1);
  assert.equal(values.get('lockstep_steps_total{run="faces"}'), 3);
  const names = [...values.keys()].map((key) => key.replace(/\{.*/, ''));
  for (const name of ['step', 'goodput_ratio', 'lost_seconds', 'last_step_timestamp_seconds'])
    assert.ok(!names.includes(`lockstep_${name}`), name);
  assert.equal((await ask('/readyz')).status, 200);
});

test('one that stands by shows that it does, and no value of a run', async () => {
  const { figures } = led();
  const ask = await serve(coordinatorMetrics({ ...figures, leading: () => undefined }));
  const values = valuesOf((await ask('/metrics')).text);
  const shown = [...values.keys()].filter((name) => !name.startsWith('process_'));
  assert.deepEqual(
    shown.filter((name) => !name.includes('event_loop')),
    [
      'lockstep_leading{run="faces"}',
      'lockstep_build_info{version="1.2.3",fingerprint="",run="faces"}',
    ],
  );
  assert.deepEqual(await ask('/readyz'), { status: 503, text: 'waits\n' });
  assert.equal((await ask('/healthz')).status, 200);
});

test('a worker answers with what it has done, and is ready once it has joined', async () => {
  const counts = createWorkerCounts();
  const seconds = { dataS: 0.5, computeS: 1, exchangeS: 0.25, updateS: 0.125 };
  for (let step = 0; step < 2; step++)
    counts.stepped({
      ...{ ...seconds, waitedFor: 'w-2', waitedS: 0.0625 },
      ...{ sentBytes: 300, receivedBytes: 200 },
    });
  counts.stored(100);
  let figures: WorkerFigures = { ...workerFigures, run: undefined, isWelcome: false };
  const ask = await serve(workerMetrics(() => figures, counts));
  const early = await ask('/readyz');
  assert.deepEqual(early, { status: 503, text: 'looks for its coordinator at c:7400\n' });
  assert.equal(
    valuesOf((await ask('/metrics')).text).get('lockstep_worker_joined{worker="w-1"}'),
    0,
  );
  figures = workerFigures;
  const ready = await ask('/readyz');
  assert.deepEqual(ready, { status: 200, text: 'training, rank 1 of 3, step 12\n' });
  const values = valuesOf((await ask('/metrics')).text);
  const expected = {
    'lockstep_worker_joined{worker="w-1",run="faces"}': 1,
    'lockstep_worker_steps_total{worker="w-1",run="faces"}': 2,
    'lockstep_worker_phase_seconds_total{phase="data",worker="w-1",run="faces"}': 1,
    'lockstep_worker_phase_seconds_total{phase="exchange",worker="w-1",run="faces"}': 0.5,
    'lockstep_worker_wait_seconds_total{worker="w-1",run="faces"}': 0.125,
    'lockstep_worker_sent_bytes_total{worker="w-1",run="faces"}': 600,
    'lockstep_worker_received_bytes_total{worker="w-1",run="faces"}': 400,
    'lockstep_worker_micro_shards{worker="w-1",run="faces"}': 2,
    'lockstep_worker_slow_link_bytes_per_second{peer="w-2",worker="w-1",run="faces"}': 480_000,
    'lockstep_worker_checkpoint_bytes_total{worker="w-1",run="faces"}': 100,
  };
  const given = Object.keys(expected).map((key) => [key, values.get(key)]);
  assert.deepEqual(Object.fromEntries(given), expected);
  assert.ok((values.get('process_resident_memory_bytes{worker="w-1",run="faces"}') ?? 0) > 1e6);
});

test("Prometheus' judge has no complaint", { skip: withoutPromtool }, async () => {
  const worker = workerMetrics(() => workerFigures, createWorkerCounts());
  for (const source of [coordinatorMetrics(led().figures), worker]) {
    const { text } = await (await serve(source))('/metrics');
    assert.deepEqual(promtool(['check', 'metrics'], text), { code: 0, said: '' });
  }
  const bad = promtool(['check', 'metrics'], '# TYPE steps counter\nsteps 1\n');
  assert.equal(bad.code, 3, 'the judge judges');
});
