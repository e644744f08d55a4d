// The exchange in turns: every number of workers, precision and number of lanes that was asked for,
// and a peer's all-reduce beside each number of workers, on the same cores.

import { z } from 'zod';
import { median } from '../../shared/median.js';
import type { ExchangePrecision } from '../../shared/plan/step-vector.js';
import { benchExchange, type BenchLink, type ExchangeBenchResult } from '../exchange.js';
import { runPeer } from '../peers/run-peer.js';
import { inTurns, markdownTable, medianRatio, rounded } from './turns.js';

export interface ExchangeTurnsOptions {
  readonly workers: readonly number[];
  readonly precisions: readonly ExchangePrecision[];
  readonly lanes: readonly number[];
  readonly links: readonly BenchLink[];
  readonly mib: number;
  readonly steps: number;
  readonly warmUp: number;
  readonly rounds: number;
  /**
   * A command that takes --workers, --mib, --steps and --warm-up and prints busbw_mib_s, step_s,
   * cpu_s, verified and engine as JSON.
   */
  readonly peer: string | undefined;
  readonly say: (text: string) => void;
}

/**
 * One contender with one number of workers. Bandwidths are MiB/s, of 4 bytes a value whatever it is
 * sent in; medians unless said.
 */
export interface ExchangeTurns {
  readonly contender: string;
  readonly workers: number;
  /** By round. */
  readonly rounds: readonly number[];
  readonly busbw_mib_s: number;
  readonly step_s: number;
  /** Processor seconds a step, of all workers. */
  readonly cpu_s: number;
  /** Its bandwidth over the peer's, round by round, the median; undefined without a peer. */
  readonly ratio: number | undefined;
  readonly verified: boolean;
}

const peerSchema = z.object({
  busbw_mib_s: z.number().positive(),
  step_s: z.number().positive(),
  cpu_s: z.number(),
  verified: z.boolean(),
  engine: z.string(),
});

type Measured = Pick<ExchangeBenchResult, 'busbw_mib_s' | 'step_s' | 'cpu_s' | 'verified'> & {
  readonly engine: string;
};

type Contender =
  | { readonly kind: 'peer' }
  | {
      readonly kind: 'ours';
      readonly precision: ExchangePrecision;
      readonly lanes: number;
      readonly link: BenchLink;
    };

const linkWords: Readonly<Record<BenchLink, string>> = {
  socket: 'Unix sockets',
  tcp: 'TCP',
  tls: 'TLS',
};

/** Measures; whatever fails ends it with what it said. */
export async function benchExchanges(options: ExchangeTurnsOptions): Promise<ExchangeTurns[]> {
  const { workers: counts, precisions, peer, rounds, say } = options;
  const ours = precisions.flatMap((precision) =>
    options.lanes.flatMap((lanes) =>
      options.links.map((link) => ({ kind: 'ours', precision, lanes, link }) as const),
    ),
  );
  const contenders: Contender[] = peer === undefined ? ours : [{ kind: 'peer' }, ...ours];
  const rows: ExchangeTurns[] = [];
  for (const workers of counts) {
    const taken = await inTurns(contenders, rounds, async (contender, round) => {
      const one = await measure(contender, workers, options);
      const what = `round ${round + 1} of ${rounds}, ${workers} workers`;
      say(`${what}: ${one.engine} ${one.busbw_mib_s} MiB/s`);
      return one;
    });
    const bandwidths = taken.map((own) => own.map((one) => one.busbw_mib_s));
    for (const [i, own] of taken.entries())
      rows.push({
        contender: own[0].engine,
        ...{ workers, rounds: bandwidths[i], busbw_mib_s: rounded(median(bandwidths[i]), 1) },
        step_s: rounded(median(own.map((one) => one.step_s)), 4),
        cpu_s: rounded(median(own.map((one) => one.cpu_s)), 3),
        ratio: medianRatio(bandwidths[i], peer === undefined ? undefined : bandwidths[0]),
        verified: own.every((one) => one.verified),
      });
  }
  return rows;
}

async function measure(
  contender: Contender,
  workers: number,
  { mib, steps, warmUp, peer = '' }: ExchangeTurnsOptions,
): Promise<Measured> {
  if (contender.kind === 'ours') {
    const { precision, lanes, link } = contender;
    const ours = { precision, lanes, link };
    const measured = await benchExchange({ workers, mib, steps, warmUp, ...ours });
    const words = `${precision}, ${lanes} lane${lanes === 1 ? '' : 's'}`;
    return { ...measured, engine: `lockstep, ${words}, ${linkWords[link]}` };
  }
  return runPeer(peer.split(/\s+/), { workers, mib, steps, 'warm-up': warmUp }, peerSchema);
}

/** The table, in Markdown. */
export function exchangeTable(rows: readonly ExchangeTurns[]): string {
  const heading = ['workers', 'what', 'bus bandwidth by round, MiB/s', 'median', 'over the peer'];
  const cells = rows.map((row) => [
    ...[String(row.workers), row.contender, row.rounds.map((one) => one.toFixed(0)).join(', ')],
    ...[row.busbw_mib_s.toFixed(0), row.ratio?.toFixed(2) ?? '', row.cpu_s.toFixed(2)],
    row.verified ? 'yes' : 'NO',
  ]);
  return markdownTable([[...heading, 'processor seconds a step', 'verified'], ...cells]);
}
