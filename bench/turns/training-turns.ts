// Whole training steps in turns: real local runs of Lockstep, one for each engine and each way to
// exchange that was asked for, and a peer's steps beside them, on the same cores.

import { z } from 'zod';
import { readEvents } from '../../shared/events/event-log.js';
import { median } from '../../shared/median.js';
import type { EngineName, RunSpec } from '../../shared/spec/schema.js';
import { openStore } from '../../shared/store/open-store.js';
import type { BenchLink } from '../exchange.js';
import { runPeer } from '../peers/run-peer.js';
import { trainHere, withBenchFolder, type BenchFolder, type TrainLine } from './local-run.js';
import { processorSeconds } from './machine.js';
import { inTurns, markdownTable, medianRatio, rounded } from './turns.js';

export interface TrainingTurnsOptions {
  readonly spec: RunSpec;
  readonly workers: number;
  /** Images of each worker's only micro-shard. */
  readonly batch: number;
  readonly threads: number;
  /** Of each worker's exchange; undefined: what `lockstep train` chooses. */
  readonly lanes: number | undefined;
  readonly engines: readonly EngineName[];
  /**
   * Keys of the spec that some contenders have otherwise: "exchange.precision" with the values to
   * try. There is a contender for each combination.
   */
  readonly keys: Readonly<Record<string, readonly string[]>>;
  /** Ways between workers, each tried; undefined: what `lockstep train` chooses. */
  readonly links?: readonly BenchLink[] | undefined;
  readonly steps: number;
  readonly warmUp: number;
  readonly rounds: number;
  /**
   * A command that takes --workers, --batch, --threads, --steps and --warm-up and prints step_s,
   * images_per_s, cpu_s and engine as JSON.
   */
  readonly peer: string | undefined;
  readonly say: (text: string) => void;
}

/** One contender: medians over its rounds. Seconds are of a step. */
export interface TrainingTurns {
  readonly contender: string;
  /** Images a second of all workers, by round: those of all measured steps over their time. */
  readonly rounds: readonly number[];
  readonly images_per_s: number;
  readonly step_s: number;
  /** Processor seconds of all workers. */
  readonly cpu_s: number;
  /** Its images a second over the peer's, round by round, the median; undefined without a peer. */
  readonly ratio: number | undefined;
  /** The same of images a processor second: where other work runs beside. */
  readonly cpu_ratio: number | undefined;
  /** What a worker waits for the exchange beyond what it overlaps with; undefined for a peer. */
  readonly exchange_s: number | undefined;
  readonly update_s: number | undefined;
  /** What a worker sends in a step. */
  readonly sent_mib: number | undefined;
}

type Contender =
  | { readonly kind: 'peer' }
  | {
      readonly kind: 'ours';
      readonly engine: EngineName;
      readonly sets: readonly string[];
      readonly link: BenchLink | undefined;
    };

interface Measured {
  readonly name: string;
  readonly step_s: number;
  readonly images_per_s: number;
  readonly cpu_s: number;
  readonly exchange_s?: number;
  readonly update_s?: number;
  readonly sent_mib?: number;
}

const peerSchema = z.object({
  step_s: z.number().positive(),
  images_per_s: z.number().positive(),
  cpu_s: z.number(),
  engine: z.string(),
});

/** Measures; whatever fails ends it with what it said. */
export function benchTraining(options: TrainingTurnsOptions): Promise<TrainingTurns[]> {
  const { peer, engines, keys, links = [undefined], rounds, say } = options;
  const ours = engines.flatMap((engine) =>
    combinations(keys).flatMap((sets) =>
      links.map((link) => ({ kind: 'ours', engine, sets, link }) as const),
    ),
  );
  const contenders: Contender[] = peer === undefined ? ours : [{ kind: 'peer' }, ...ours];
  return withBenchFolder(async (folder) => {
    const taken = await inTurns(contenders, rounds, async (contender, round) => {
      const name = `round-${round}-${contenders.indexOf(contender)}`;
      const one = await measure(contender, name, folder, options);
      const rate = `${one.images_per_s.toFixed(2)} images/s`;
      say(`round ${round + 1} of ${rounds}: ${one.name} ${rate}, ${one.cpu_s.toFixed(2)} CPU s`);
      return one;
    });
    return taken.map((own) => summarize(own, peer === undefined ? undefined : taken[0]));
  });
}

/** "key=value" of every key, for each combination of the values. */
export function combinations(keys: TrainingTurnsOptions['keys']): string[][] {
  return Object.entries(keys).reduce<string[][]>(
    (sets, [key, values]) =>
      sets.flatMap((set) => values.map((value) => [...set, `${key}=${value}`])),
    [[]],
  );
}

function summarize(own: readonly Measured[], peer: readonly Measured[] | undefined): TrainingTurns {
  const rates = own.map((one) => one.images_per_s);
  const middle = (read: (one: Measured) => number | undefined): number | undefined => {
    const values = own.map(read).filter((value) => value !== undefined);
    return values.length === 0 ? undefined : rounded(median(values), 4);
  };
  return {
    contender: own[0].name,
    rounds: rates,
    images_per_s: rounded(median(rates), 3),
    step_s: middle((one) => one.step_s) ?? NaN,
    cpu_s: middle((one) => one.cpu_s) ?? NaN,
    ratio: medianRatio(
      rates,
      peer?.map((one) => one.images_per_s),
    ),
    cpu_ratio: medianRatio(
      own.map((one) => 1 / one.cpu_s),
      peer?.map((one) => 1 / one.cpu_s),
    ),
    exchange_s: middle((one) => one.exchange_s),
    update_s: middle((one) => one.update_s),
    sent_mib: middle((one) => one.sent_mib),
  };
}

async function measure(
  contender: Contender,
  name: string,
  folder: BenchFolder,
  options: TrainingTurnsOptions,
): Promise<Measured> {
  if (contender.kind === 'ours') return trainOurs(contender, name, folder, options);
  const { workers, batch, threads, steps, warmUp, peer = '' } = options;
  const counts = { workers, batch, threads, steps, 'warm-up': warmUp };
  const { engine, ...figures } = await runPeer(peer.split(/\s+/), counts, peerSchema);
  return { name: engine, ...figures };
}

async function trainOurs(
  { engine, sets, link }: Extract<Contender, { kind: 'ours' }>,
  name: string,
  folder: BenchFolder,
  options: TrainingTurnsOptions,
): Promise<Measured> {
  const { workers, batch, lanes, steps, warmUp } = options;
  const meter = createStepMeter(warmUp, warmUp + steps);
  await trainHere(
    folder,
    name,
    specOf(options, engine, folder.datasetUrl),
    [
      ...['--workers', String(workers), '--stop-after', String(warmUp + steps)],
      ...(lanes === undefined ? [] : ['--lanes', String(lanes)]),
      ...sets.flatMap((set) => ['--set', set]),
    ],
    meter.take,
    link,
  );
  const words = [...sets.map((set) => set.replace('exchange.', '')), ...(link ? [link] : [])];
  const step = meter.result();
  const sentMib = await sentMibOf(`file://${folder.path}/${name}`);
  return {
    name: [`lockstep ${engine}`, ...words].join(', '),
    ...step,
    images_per_s: (workers * batch) / step.step_s,
    ...(sentMib === undefined ? {} : { sent_mib: sentMib }),
  };
}

/** The spec's last phase, a micro-shard a worker, and nothing that a peer does not do as well. */
function specOf(
  { spec, workers, batch, threads }: TrainingTurnsOptions,
  name: EngineName,
  url: string,
): RunSpec {
  const phase = { ...spec.phases.at(-1)!, steps: 1_000_000 };
  return {
    ...spec,
    dataset: { ...spec.dataset, url, testFraction: 0.1 },
    batch: { ...spec.batch, microShards: workers, size: batch },
    phases: [phase],
    checkpoint: { ...spec.checkpoint, everySteps: 1_000_000 },
    evaluation: { ...spec.evaluation, everySteps: 0, faces: 1, limit: 1 },
    engine: { ...spec.engine, name, threads },
  };
}

/** Takes the time between two steps of a run from its lines, and the processor time of workers. */
function createStepMeter(first: number, last: number) {
  const pids: number[] = [];
  const parts: { readonly exchange: number; readonly update: number }[] = [];
  let [beganMs, endedMs, cpu] = [NaN, NaN, NaN];
  const cpuNow = (): number => pids.reduce((sum, pid) => sum + processorSeconds(pid), 0);
  const take = (line: TrainLine): void => {
    if (line['kind'] === 'worker') pids.push(Number(line['pid']));
    if (line['kind'] !== 'step') return;
    const step = Number(line['step']);
    if (step === first) [beganMs, cpu] = [performance.now(), cpuNow()];
    if (step === last) [endedMs, cpu] = [performance.now(), cpuNow() - cpu];
    if (step > first && step <= last) parts.push(line['seconds'] as (typeof parts)[number]);
  };
  const result = () => ({
    step_s: (endedMs - beganMs) / 1e3 / (last - first),
    cpu_s: cpu / (last - first),
    exchange_s: median(parts.map(({ exchange }) => exchange)),
    update_s: median(parts.map(({ update }) => update)),
  });
  return { take, result };
}

/** What a worker sent in a step, by the newest event that says it. */
async function sentMibOf(runUrl: string): Promise<number | undefined> {
  const store = openStore(runUrl, {});
  let bytes: number | undefined;
  try {
    for await (const { type, data } of readEvents(store))
      if (type === 'world.observed')
        bytes = median(data.workers.map(({ sent_bytes: sent }) => sent));
  } finally {
    await store.close();
  }
  return bytes === undefined ? undefined : bytes / 2 ** 20;
}

/** The table, in Markdown. */
export function trainingTable(rows: readonly TrainingTurns[]): string {
  const rates = ['what', 'images/s by round', 'median', 'over the peer', 'seconds a step'];
  const processors = ['processor seconds', 'images a processor second over the peer'];
  const shown = (value: number | undefined, digits: number): string => value?.toFixed(digits) ?? '';
  const cells = rows.map((row) => [
    ...[row.contender, row.rounds.map((rate) => rate.toFixed(2)).join(', ')],
    ...[row.images_per_s.toFixed(2), shown(row.ratio, 2), row.step_s.toFixed(2)],
    ...[row.cpu_s.toFixed(2), shown(row.cpu_ratio, 2)],
    ...[shown(row.exchange_s, 3), shown(row.sent_mib, 1)],
  ]);
  const ofExchange = ['exposed exchange, s', 'MiB sent a worker'];
  return markdownTable([[...rates, ...processors, ...ofExchange], ...cells]);
}
