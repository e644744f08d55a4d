// What watching costs a run: the same run of a coordinator and its workers, in turns without and
// with all that shows it (the page open with its stream of pictures, metrics asked for every
// second, TensorBoard's files, the event bus), by seconds of steps and by processor seconds.

import { spawn, type ChildProcess } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { stringify } from 'yaml';
import { median } from '../../shared/median.js';
import { packageFile } from '../../shared/paths.js';
import type { RunSpec } from '../../shared/spec/schema.js';
import { processorSeconds } from '../turns/machine.js';

export interface WatchingBenchOptions {
  readonly spec: RunSpec;
  readonly workers: number;
  /** Steps of each run; the first few are not counted. */
  readonly steps: number;
  /** Each has a run without and one with. */
  readonly rounds: number;
  /** Of the event bus; none is watched without. */
  readonly natsUrl: string | undefined;
  readonly say: (text: string) => void;
}

/** Medians over the rounds; names as printed with --json. */
export interface WatchingBenchResult {
  readonly bare_step_s: number;
  readonly watched_step_s: number;
  /** Of a round's watched run over its bare one, the median. */
  readonly step_ratio: number;
  readonly step_ratios: readonly number[];
  /** Processor seconds of all processes a step; 0 where the system does not say. */
  readonly bare_cpu_s: number;
  readonly watched_cpu_s: number;
  readonly cpu_ratio: number;
  readonly cpu_ratios: readonly number[];
  readonly scrapes: number;
  readonly pictures: number;
  readonly workers: number;
  readonly steps: number;
  readonly rounds: number;
}

interface Taken {
  readonly stepS: number;
  readonly cpuS: number;
  readonly scrapes: number;
  readonly pictures: number;
}

/** Steps at the start that compile and fill caches. */
const warmUp = 5;
const scrapeMs = 1_000;
const limitMs = 600_000;

/** Runs them; throws when a run does not come to its end. */
export async function benchWatching(options: WatchingBenchOptions): Promise<WatchingBenchResult> {
  const { rounds, say, workers, steps } = options;
  const folder = await mkdtemp(join(tmpdir(), 'lockstep-bench-'));
  try {
    await writeFile(join(folder, 'run.yaml'), stringify(options.spec));
    const taken: { readonly bare: Taken; readonly watched: Taken }[] = [];
    for (let round = 0; round < rounds; round++) {
      const run = (isWatched: boolean): Promise<Taken> =>
        takeSteps(options, folder, `${round}-${isWatched ? 'watched' : 'bare'}`, isWatched);
      // What drifts meets both alike: each goes first in every other round.
      const first = await run(round % 2 === 1);
      const second = await run(round % 2 === 0);
      const [bare, watched] = round % 2 === 0 ? [first, second] : [second, first];
      taken.push({ bare, watched });
      const words = ({ stepS, cpuS }: Taken): string =>
        `${stepS.toFixed(4)} s (${cpuS.toFixed(4)} of processors)`;
      say(`round ${round + 1} of ${rounds}: a step took ${words(bare)}, watched ${words(watched)}`);
    }
    const of = (read: (one: (typeof taken)[number]) => number): number[] =>
      taken.map((one) => Math.round(1e4 * read(one)) / 1e4);
    const stepRatios = of(({ bare, watched }) => watched.stepS / bare.stepS);
    const cpuRatios = of(({ bare, watched }) => (bare.cpuS > 0 ? watched.cpuS / bare.cpuS : 0));
    return {
      bare_step_s: median(of(({ bare }) => bare.stepS)),
      watched_step_s: median(of(({ watched }) => watched.stepS)),
      ...{ step_ratio: median(stepRatios), step_ratios: stepRatios },
      bare_cpu_s: median(of(({ bare }) => bare.cpuS)),
      watched_cpu_s: median(of(({ watched }) => watched.cpuS)),
      ...{ cpu_ratio: median(cpuRatios), cpu_ratios: cpuRatios },
      scrapes: Math.min(...taken.map(({ watched }) => watched.scrapes)),
      pictures: Math.min(...taken.map(({ watched }) => watched.pictures)),
      ...{ workers, steps, rounds },
    };
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

async function takeSteps(
  { workers, steps, natsUrl }: WatchingBenchOptions,
  folder: string,
  name: string,
  isWatched: boolean,
): Promise<Taken> {
  const children: ChildProcess[] = [];
  const start = (...args: readonly string[]): ChildProcess => {
    const program = [packageFile('bin/lockstep.js'), ...args, '--exit-with-parent'];
    const child = spawn(process.execPath, program, {
      ...{ cwd: folder, stdio: ['pipe', 'pipe', 'ignore'] },
    });
    children.push(child);
    return child;
  };
  const ports = await freePorts(workers + 2);
  const [control = 0, page = 0, ...metrics] = ports;
  const place = (port: number): string => `127.0.0.1:${port}`;
  const shown = [...['--http', place(page)], ...(natsUrl === undefined ? [] : ['--nats', natsUrl])];
  const coordinator = start(
    ...['coordinator', '-f', 'run.yaml', '--run', `file://${folder}/${name}`, '--json'],
    ...['--workers', String(workers), '--listen', place(control), '--stop-after', String(steps)],
    ...(isWatched ? shown : ['--http', 'off', '--no-tensorboard']),
  );
  for (const [i, port] of metrics.entries())
    start(
      ...['worker', '--coordinator', place(control), '--id', `w-${i}`, '--threads', '1'],
      ...(isWatched ? ['--metrics', place(port)] : []),
    );
  const places = [page, ...metrics].map((port) => `http://${place(port)}`);
  const watchers = isWatched ? watch(places) : undefined;
  const timer = setTimeout(() => children.forEach((child) => child.kill('SIGKILL')), limitMs);
  try {
    const taken = await readSteps(coordinator, children, steps);
    return { ...taken, scrapes: watchers?.scrapes() ?? 0, pictures: watchers?.pictures() ?? 0 };
  } finally {
    clearTimeout(timer);
    watchers?.close();
    for (const child of children) child.kill('SIGKILL');
  }
}

async function readSteps(
  coordinator: ChildProcess,
  children: readonly ChildProcess[],
  steps: number,
): Promise<{ readonly stepS: number; readonly cpuS: number }> {
  if (coordinator.stdout === null) throw new Error('the coordinator has no output');
  const seconds: number[] = [];
  const cpu = (): number => children.reduce((sum, { pid }) => sum + processorSeconds(pid), 0);
  let cpuStart = 0;
  for await (const text of createInterface({ input: coordinator.stdout })) {
    const line = JSON.parse(text) as { readonly kind: string; readonly [key: string]: unknown };
    if (line.kind === 'failed') throw new Error(String(line['reason']));
    if (line.kind !== 'step') continue;
    const parts = line['seconds'] as Readonly<Record<string, number>>;
    const step = Number(line['step']);
    if (step === warmUp) cpuStart = cpu();
    if (step > warmUp)
      seconds.push(
        ['data', 'compute', 'exchange', 'update'].reduce(
          (sum, phase) => sum + (parts[phase] ?? 0),
          0,
        ),
      );
    if (step < steps) continue;
    return { stepS: median(seconds), cpuS: (cpu() - cpuStart) / (steps - warmUp) };
  }
  throw new Error('the run ended before its last step');
}

interface Watchers {
  scrapes(): number;
  pictures(): number;
  close(): void;
}

/** Asks all for metrics every second, and holds the stream of the page, the first, open. */
function watch(places: readonly string[]): Watchers {
  const over = new AbortController();
  let [scrapes, pictures] = [0, 0];
  const scrape = async (place: string): Promise<void> => {
    const answer = await fetch(`${place}/metrics`, { signal: over.signal });
    if ((await answer.text()).includes('lockstep_')) scrapes += 1;
  };
  const readStream = async (): Promise<void> => {
    const { body } = await fetch(`${places[0]}/api/stream`, { signal: over.signal });
    const decoder = new TextDecoder();
    for await (const part of body ?? [])
      pictures += decoder.decode(part as Uint8Array).split('event: picture').length - 1;
  };
  let isStreaming = false;
  const timer = setInterval(() => {
    for (const place of places) scrape(place).catch(() => undefined);
    if (isStreaming) return;
    isStreaming = true;
    void readStream()
      .catch(() => undefined)
      .finally(() => (isStreaming = false));
  }, scrapeMs);
  const close = (): void => {
    clearInterval(timer);
    over.abort();
  };
  return { scrapes: () => scrapes, pictures: () => pictures, close };
}

async function freePorts(count: number): Promise<number[]> {
  const servers = Array.from({ length: count }, () => createServer());
  const listening = servers.map(
    (server) =>
      new Promise<number>((resolve) => {
        server.listen(0, '127.0.0.1', () => resolve((server.address() as AddressInfo).port));
      }),
  );
  const ports = await Promise.all(listening);
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))));
  return ports;
}
