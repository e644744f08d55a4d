// The engines of this machine and a peer, on the same step and in one sitting: each in a process
// of its own, in turns, so that what else the machine does meets all of them alike.

import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { z } from 'zod';
import { median } from '../shared/median.js';
import { packageFile } from '../shared/paths.js';

export interface EnginesBenchOptions {
  /** Names of engines, "engine/provider" or "engine/provider/precision". */
  readonly engines: readonly string[];
  /**
   * A command that takes --batch, --threads and --steps and prints step_s and engine as JSON; cpu_s
   * as well, where processor seconds are compared.
   */
  readonly peer: string | undefined;
  readonly preset: string;
  readonly batch: number;
  readonly threads: readonly number[];
  readonly steps: number;
  readonly rounds: number;
  /** Compare processor seconds (all threads) instead of wall time: where other work runs beside. */
  readonly isProcessorTime: boolean;
  readonly say: (text: string) => void;
}

/** One contender with one number of threads: the medians of its rounds, in seconds. */
export interface EngineTimes {
  readonly contender: string;
  /** What it says it computed with. */
  readonly engine: string;
  readonly threads: number;
  readonly rounds: readonly number[];
  readonly median_s: number;
  /** Its time over the peer's, round by round, the median; undefined without a peer. */
  readonly ratio: number | undefined;
}

const lineSchema = z.object({
  step_s: z.number().positive(),
  cpu_s: z.number().positive().optional(),
  engine: z.string(),
});
const peerName = 'peer';
const timeoutMs = 600_000;

/** Measures; a contender that fails ends it with what it said. */
export async function benchEngines(options: EnginesBenchOptions): Promise<EngineTimes[]> {
  const { engines, peer, threads, rounds, say } = options;
  const contenders = [...(peer === undefined ? [] : [peerName]), ...engines];
  const result: EngineTimes[] = [];
  for (const count of threads) {
    const times = new Map(contenders.map((name) => [name, [] as number[]]));
    const said = new Map<string, string>();
    for (let round = 0; round < rounds; round++)
      for (const name of contenders) {
        const { step_s, cpu_s, engine } = await runOne(name, count, options);
        const taken = options.isProcessorTime ? cpu_s : step_s;
        if (taken === undefined) throw new Error(`${engine} did not say its processor seconds`);
        times.get(name)!.push(taken);
        said.set(name, engine);
        say(`round ${round + 1} of ${rounds}, threads ${count}: ${engine} ${taken} s`);
      }
    for (const name of contenders) {
      const own = times.get(name)!;
      const ratios = own.map((time, i) => time / (times.get(peerName)?.[i] ?? NaN));
      result.push({
        contender: name,
        engine: said.get(name)!,
        threads: count,
        rounds: own,
        median_s: rounded(median(own)),
        ratio: peer === undefined ? undefined : rounded(median(ratios)),
      });
    }
  }
  return result;
}

async function runOne(name: string, threads: number, options: EnginesBenchOptions) {
  const { preset, batch, steps } = options;
  const counts = ['--batch', batch, '--threads', threads, '--steps', steps].map(String);
  const [engine = '', provider, precision] = name.split('/');
  const ours = [
    ...[packageFile('bin/lockstep.js'), 'bench', 'step', '--json', '--preset', preset],
    ...['--engine', engine, ...(provider === undefined ? [] : ['--provider', provider])],
    ...(precision === undefined ? [] : ['--precision', precision]),
  ];
  const [program = '', ...args] =
    name === peerName ? (options.peer ?? '').split(/\s+/) : [process.execPath, ...ours];
  const { stdout } = await promisify(execFile)(program, [...args, ...counts], {
    timeout: timeoutMs,
  });
  return lineSchema.parse(JSON.parse(stdout.trim().split('\n').at(-1) ?? ''));
}

/** The table, in Markdown. */
export function enginesTable(times: readonly EngineTimes[], isProcessorTime = false): string {
  const cells = times.map(({ engine, threads, rounds, median_s: middle, ratio }) => [
    ...[engine, String(threads), rounds.map((time) => time.toFixed(2)).join(', ')],
    ...[middle.toFixed(2), ratio === undefined ? '' : ratio.toFixed(2)],
  ]);
  const seconds = `${isProcessorTime ? 'processor ' : ''}seconds a step, by round`;
  const header = ['engine', 'threads', seconds, 'median', 'over the peer'];
  return [header, header.map(() => '---'), ...cells]
    .map((row) => `| ${row.join(' | ')} |`)
    .join('\n');
}

function rounded(value: number): number {
  return Math.round(value * 1000) / 1000;
}
