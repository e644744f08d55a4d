// The engines of this machine and a peer, on the same step and in one sitting: each in a process
// of its own, in turns, so that what else the machine does meets all of them alike.

import { z } from 'zod';
import { median } from '../shared/median.js';
import { packageFile } from '../shared/paths.js';
import { runPeer } from './peers/run-peer.js';
import { inTurns, markdownTable, medianRatio, rounded } from './turns/turns.js';

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

/** Measures; a contender that fails ends it with what it said. */
export async function benchEngines(options: EnginesBenchOptions): Promise<EngineTimes[]> {
  const { engines, peer, threads, rounds, say } = options;
  const contenders = [...(peer === undefined ? [] : [peerName]), ...engines];
  const result: EngineTimes[] = [];
  for (const count of threads) {
    const taken = await inTurns(contenders, rounds, async (name, round) => {
      const { step_s, cpu_s, engine } = await runOne(name, count, options);
      const seconds = options.isProcessorTime ? cpu_s : step_s;
      if (seconds === undefined) throw new Error(`${engine} did not say its processor seconds`);
      say(`round ${round + 1} of ${rounds}, threads ${count}: ${engine} ${seconds} s`);
      return { seconds, engine };
    });
    const times = taken.map((own) => own.map(({ seconds }) => seconds));
    for (const [i, contender] of contenders.entries())
      result.push({
        ...{ contender, engine: taken[i][0].engine, threads: count, rounds: times[i] },
        median_s: rounded(median(times[i]), 3),
        ratio: medianRatio(times[i], peer === undefined ? undefined : times[0]),
      });
  }
  return result;
}

function runOne(name: string, threads: number, options: EnginesBenchOptions) {
  const { preset, batch, steps } = options;
  const [engine = '', provider, precision] = name.split('/');
  const ours = [
    ...[process.execPath, packageFile('bin/lockstep.js'), 'bench', 'step', '--json'],
    ...['--preset', preset, '--engine', engine],
    ...(provider === undefined ? [] : ['--provider', provider]),
    ...(precision === undefined ? [] : ['--precision', precision]),
  ];
  const command = name === peerName ? (options.peer ?? '').split(/\s+/) : ours;
  return runPeer(command, { batch, threads, steps }, lineSchema);
}

/** The table, in Markdown. */
export function enginesTable(times: readonly EngineTimes[], isProcessorTime = false): string {
  const cells = times.map(({ engine, threads, rounds, median_s: middle, ratio }) => [
    ...[engine, String(threads), rounds.map((time) => time.toFixed(2)).join(', ')],
    ...[middle.toFixed(2), ratio === undefined ? '' : ratio.toFixed(2)],
  ]);
  const seconds = `${isProcessorTime ? 'processor ' : ''}seconds a step, by round`;
  return markdownTable([['engine', 'threads', seconds, 'median', 'over the peer'], ...cells]);
}
