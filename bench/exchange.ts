// Times the all-reduce as a run has it: one real process for each worker on loopback, with the
// exchange in a thread of its own and the vectors in shared memory. Checks the result's bits.

import { fork, type ChildProcess } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { median } from '../shared/median.js';
import type { ExchangePrecision } from '../shared/plan/step-vector.js';
import { certificateName } from '../shared/tls/certificates.js';
import { writeAuthority, writeCertificate } from '../shared/tls/folder.js';
import type { BenchReport, BenchTask } from './exchange-process.js';
import { blockSum, bytesOfValues, roundTo } from './exchange-values.js';

/** How workers reach each other: by Unix sockets, or over loopback in clear or with mutual TLS. */
export const benchLinks = ['socket', 'tcp', 'tls'] as const;
export type BenchLink = (typeof benchLinks)[number];

export interface ExchangeBenchOptions {
  /** Worker processes, from 2. */
  readonly workers: number;
  /** Length of the vector: MiB of 262144 values, 4 bytes each in float32 and 2 in bfloat16. */
  readonly mib: number;
  readonly precision: ExchangePrecision;
  /** Threads of the exchange of each worker. */
  readonly lanes: number;
  readonly link: BenchLink;
  /** Steps measured, after `warmUp` that are not. */
  readonly steps: number;
  readonly warmUp: number;
}

/** Names as printed with --json. Bandwidths in MiB/s, times in seconds; medians unless said. */
export interface ExchangeBenchResult {
  /** NCCL's bus bandwidth: bytes / time * 2 (n - 1) / n; a value counts as 4 bytes in both. */
  readonly busbw_mib_s: number;
  /** bytes / time */
  readonly algbw_mib_s: number;
  readonly step_s: number;
  readonly step_s_min: number;
  readonly step_s_max: number;
  /** CPU seconds of all workers together for one step, the kernel's included. */
  readonly cpu_s: number;
  readonly workers: number;
  readonly mib: number;
  readonly precision: ExchangePrecision;
  readonly lanes: number;
  readonly link: BenchLink;
  readonly steps: number;
  /** Every worker's results have the bits of the reference sum. */
  readonly verified: boolean;
}

const limitMs = 300_000;

/** Runs the bench; throws when a worker dies or takes longer than five minutes. */
export async function benchExchange(options: ExchangeBenchOptions): Promise<ExchangeBenchResult> {
  const script = fileURLToPath(new URL('./exchange-process.js', import.meta.url));
  const names = Array.from({ length: options.workers }, (_, rank) => `bench-${rank}`);
  const tlsFolder = options.link === 'tls' ? await certificatesOf(names) : undefined;
  const children = names.map((name) =>
    fork(script, [String(options.lanes), name, ...(tlsFolder === undefined ? [] : [tlsFolder])]),
  );
  const watchdog = setTimeout(() => children.forEach((child) => child.kill('SIGKILL')), limitMs);
  try {
    const addresses = await Promise.all(children.map((child) => nextReport(child, 'address')));
    const members = addresses.map(({ address, lanes, socket }, rank) => {
      const short = options.link === 'socket' ? socket : undefined;
      return { rank, worker: names[rank], incarnation: 1, address, lanes, socket: short };
    });
    const finished = children.map((child) => nextReport(child, 'finished'));
    children.forEach((child, rank) => child.send(taskOf(options, rank, members)));
    return summarize(options, await Promise.all(finished));
  } finally {
    clearTimeout(watchdog);
    for (const child of children) child.kill('SIGKILL');
    if (tlsFolder !== undefined) rmSync(tlsFolder, { recursive: true });
  }
}

/** A folder with an authority's certificate and those of workers; whoever asked removes it. */
async function certificatesOf(workers: readonly string[]): Promise<string> {
  const folder = mkdtempSync(join(tmpdir(), 'lockstep-bench-tls-'));
  // Not for those who measure something else.
  const { createAuthority } = await import('../shared/tls/authority.js');
  const authority = await createAuthority('a bench', 1);
  writeAuthority(folder, authority.ca);
  for (const worker of workers) {
    const issued = await authority.issue([{ run: 'bench', role: 'worker', worker }]);
    writeCertificate(folder, certificateName({ role: 'worker', worker }), issued);
  }
  return folder;
}

function taskOf(
  { workers, mib, precision, steps, warmUp }: ExchangeBenchOptions,
  rank: number,
  members: BenchTask['world']['members'],
): BenchTask {
  const floats = Math.round(mib * 262_144);
  return {
    world: { generation: 1, members },
    rank,
    microShards: 2 * workers,
    floats,
    precision,
    steps,
    warmUp,
  };
}

type ReportOf<K extends BenchReport['kind']> = Extract<BenchReport, { readonly kind: K }>;

function nextReport<K extends BenchReport['kind']>(
  child: ChildProcess,
  kind: K,
): Promise<ReportOf<K>> {
  return new Promise((resolve, reject) => {
    child.on('message', (report: BenchReport) => {
      if (report.kind === kind) resolve(report as ReportOf<K>);
    });
    child.once('exit', (code, signal) => {
      reject(new Error(`a worker of the bench ended early (${signal ?? code})`));
    });
  });
}

function summarize(
  { workers, mib, precision, lanes, link, steps }: ExchangeBenchOptions,
  reports: readonly ReportOf<'finished'>[],
): ExchangeBenchResult {
  // A step takes as long as its slowest worker.
  const times = Array.from({ length: steps }, (_, step) =>
    Math.max(...reports.map(({ stepSeconds }) => stepSeconds[step])),
  );
  const middle = median(times);
  const expected = referenceDigest(2 * workers, Math.round(mib * 262_144), precision);
  const digests = reports.flatMap((report) => report.digests);
  const cpu = Array.from({ length: steps }, (_, step) =>
    reports.reduce((sum, { cpuSeconds }) => sum + cpuSeconds[step], 0),
  );
  return {
    busbw_mib_s: round(((mib / middle) * 2 * (workers - 1)) / workers, 1),
    algbw_mib_s: round(mib / middle, 1),
    step_s: round(middle, 4),
    step_s_min: round(Math.min(...times), 4),
    step_s_max: round(Math.max(...times), 4),
    cpu_s: round(median(cpu), 3),
    workers,
    mib,
    precision,
    lanes,
    link,
    steps,
    verified: digests.every((digest) => digest === expected),
  };
}

function round(value: number, digits: number): number {
  return Number(value.toFixed(digits));
}

/** SHA-256 of the mean over all leaves, added along the tree in plain loops, block by block. */
function referenceDigest(
  microShards: number,
  floats: number,
  precision: ExchangePrecision,
): string {
  const hash = createHash('sha256');
  const scale = Math.fround(1 / microShards);
  const block = 65_536;
  for (let first = 0; first < floats; first += block) {
    const count = Math.min(block, floats - first);
    const sum = blockSum({ start: 0, end: microShards }, first, count, precision);
    const mean = roundTo(
      precision,
      sum.map((value) => Math.fround(value * scale)),
    );
    hash.update(bytesOfValues(precision, mean));
  }
  return hash.digest('hex');
}
