// What a coordinator costs with many workers: to form the first world, to watch over it, and to go
// on when some of them die at once. The real core and the real encoding; time and workers are
// simulated, and there is no network, so gRPC's own cost comes on top.

import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { type CoordinatorConfig } from '../coordinator/core/state.js';
import { defaultTiming } from '../coordinator/core/timing.js';
import type { Counts } from './coordinator-meter.js';
import { createSimulatedRun, type SimulatedRun } from './simulated-run.js';

export interface CoordinatorBenchOptions {
  readonly workers: number;
  /** How many of them die at once; 0 for none. */
  readonly deaths: number;
  /** Simulated seconds of training that are measured, of one step each. */
  readonly seconds: number;
}

/** What one change of the world took. Times of CPU are the coordinator's alone. */
export interface ChangeCost {
  /** Members of the new world. */
  readonly members: number;
  /** Simulated time until all of them trained: the protocol's waits, without any network. */
  readonly simulated_ms: number;
  readonly cpu_ms: number;
  /** Part of it that went into encoding, decoding and checking. */
  readonly codec_cpu_ms: number;
  /** Longest CPU time at a stretch, in which it heard nobody. */
  readonly busiest_ms: number;
  readonly messages_in: number;
  readonly messages_out: number;
  readonly mib_in: number;
  readonly mib_out: number;
  /** The largest message sent. */
  readonly largest_kib: number;
}

/** Names as printed with --json. */
export interface CoordinatorBenchResult {
  readonly workers: number;
  readonly deaths: number;
  /** CPU microseconds a worker and second of training cost; of these in encoding. */
  readonly cpu_us_per_worker_s: number;
  readonly codec_cpu_us_per_worker_s: number;
  /** The share of one core that training costs with all workers. */
  readonly core_share: number;
  readonly messages_per_s: number;
  /** Heap that the coordinator's state holds, for each worker left. */
  readonly heap_kib_per_worker: number;
  /** Resident memory that came with everything, the simulated workers included. */
  readonly rss_mib: number;
  readonly forming: ChangeCost;
  /** The same world, under a coordinator that has just started. */
  readonly takeover: ChangeCost;
  readonly loss: ChangeCost | undefined;
  readonly worlds: number;
  readonly lost: number;
}

/** A change of the world that takes longer than this, in simulated time, never comes. */
const limitMs = 300_000;
/** About the length of a run's record. */
const record = JSON.stringify({ spec: 'x'.repeat(3000) });

/** Runs the bench; throws when a world does not come to train. */
export function benchCoordinator(options: CoordinatorBenchOptions): CoordinatorBenchResult {
  const { workers, deaths, seconds } = options;
  const rssBefore = process.memoryUsage().rss;
  const run = createSimulatedRun(workers, configOf(workers), record);
  const forming = measureChange(run, 0);
  train(run, 2);
  run.meter.take();
  train(run, seconds);
  const training = run.meter.take();
  const takeover = measureTakeover(run);
  const loss = deaths === 0 ? undefined : measureLoss(run, deaths);
  const rssMib = (process.memoryUsage().rss - rssBefore) / 2 ** 20;
  const perWorkerSecond = (us: number): number => round(us / workers / seconds);
  const cpuUs = training.coreUs + training.codecUs;
  return {
    workers,
    deaths,
    cpu_us_per_worker_s: perWorkerSecond(cpuUs),
    codec_cpu_us_per_worker_s: perWorkerSecond(training.codecUs),
    core_share: round(cpuUs / seconds / 1e6, 4),
    messages_per_s: round(training.messagesIn / seconds),
    heap_kib_per_worker: round(heapOfCoordinator(run) / 1024 / (workers - deaths)),
    rss_mib: round(rssMib),
    forming,
    takeover,
    loss,
    worlds: run.wanted('formed'),
    lost: run.wanted('lost'),
  };
}

function configOf(workers: number): CoordinatorConfig {
  const steps = { until: 1_000_000, lastStep: 1_000_000, microShards: 4096 };
  const identity = { run: 'bench', recordSha256: 'b'.repeat(64) };
  return { ...identity, term: 1, worldSize: workers, ...steps, timing: defaultTiming };
}

/** Until a world with a later generation than `after` trains. */
function measureChange(run: SimulatedRun, after: number): ChangeCost {
  run.meter.take();
  const startedMs = run.nowMs();
  while ((run.world()?.generation ?? 0) <= after) {
    if (run.nowMs() - startedMs > limitMs)
      throw new Error(`no world trained within ${limitMs / 1000} simulated seconds`);
    run.advance();
  }
  const members = run.world()?.members.length ?? 0;
  return costOf(run.meter.take(), members, run.nowMs() - startedMs);
}

/** Until every worker is known again; throws when the take-over disturbs their world. */
function measureTakeover(run: SimulatedRun): ChangeCost {
  const { generation, members } = run.world() ?? {};
  const formed = run.wanted('formed');
  run.replaceCoordinator();
  run.meter.take();
  const startedMs = run.nowMs();
  const welcomed = run.wanted('welcome') + run.living().length;
  while (run.wanted('welcome') < welcomed) run.advance();
  const cost = costOf(run.meter.take(), members?.length ?? 0, run.nowMs() - startedMs);
  train(run, 2);
  if (run.world()?.generation !== generation || run.wanted('formed') !== formed)
    throw new Error('a coordinator that took over formed the world anew');
  return cost;
}

function measureLoss(run: SimulatedRun, deaths: number): ChangeCost {
  const living = run.living();
  const generation = run.world()?.generation ?? 0;
  // Spread over all ranks, the first among them.
  const dead = Array.from(
    { length: deaths },
    (_, i) => living[Math.floor((i * living.length) / deaths)],
  );
  run.kill(dead);
  return measureChange(run, generation);
}

function costOf(counts: Counts, members: number, simulatedMs: number): ChangeCost {
  return {
    members,
    simulated_ms: simulatedMs,
    cpu_ms: round((counts.coreUs + counts.codecUs) / 1000),
    codec_cpu_ms: round(counts.codecUs / 1000),
    busiest_ms: round(counts.busiestUs / 1000),
    messages_in: counts.messagesIn,
    messages_out: counts.messagesOut,
    mib_in: round(counts.bytesIn / 2 ** 20),
    mib_out: round(counts.bytesOut / 2 ** 20),
    largest_kib: round(counts.largestOut / 1024),
  };
}

/** Takes a step every simulated second. */
function train(run: SimulatedRun, seconds: number): void {
  for (let second = 0; second < seconds; second++) {
    if (!run.commitStep()) throw new Error('the workers do not train in one world');
    const endMs = run.nowMs() + 1000;
    while (run.nowMs() < endMs) run.advance();
  }
}

function heapOfCoordinator(run: SimulatedRun): number {
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as () => void;
  const heapAfter = (): number => {
    collect();
    return process.memoryUsage().heapUsed;
  };
  const withState = heapAfter();
  run.forgetCoordinator();
  return Math.max(0, withState - heapAfter());
}

function round(value: number, digits = 1): number {
  return Number(value.toFixed(digits));
}
