// The figures of the fault matrix as a page shows them: medians and worst cases, a row for each
// fault. Pure: how they were measured is others' business.

import { median } from '../../shared/median.js';
import type { Outcome } from './fault-case.js';

/** A case that was played. */
export interface PlayedCase {
  readonly fault: string;
  readonly outcomes: readonly Outcome[];
}

export interface Kills {
  readonly outcomes: readonly Outcome[];
  readonly everyS: number;
  readonly workers: number;
  readonly steps: number;
  readonly seconds: { readonly disturbed: number; readonly undisturbed: number };
  /** Useful time over all time. */
  readonly goodput: number;
}

export interface Figures {
  readonly cases: readonly PlayedCase[];
  readonly kills: Kills;
  readonly seed: number;
  /** "2 cores, AMD EPYC" */
  readonly machine: string;
  readonly node: string;
  /** "2026-11-24" */
  readonly date: string;
  /** Seconds of an undisturbed step on one worker. */
  readonly stepS: number;
}

const start = '<!-- figures:start -->';
const end = '<!-- figures:end -->';

/** "0.12 / 0.31 s": median and worst of those that are known; "-" for none. */
export function medianAndWorst(ms: readonly (number | undefined)[]): string {
  const known = ms.filter((one) => one !== undefined);
  if (known.length === 0) return '-';
  const [middle, worst] = [median(known), Math.max(...known)].map((one) => (one / 1000).toFixed(2));
  return `${middle} / ${worst} s`;
}

/** The block of docs/reliability.md, with its marks. */
export function describeFigures(figures: Figures): string {
  const { cases, kills, seed, machine, node, date, stepS } = figures;
  const faults = [...new Set(cases.map(({ fault }) => fault))];
  const rows = faults.map((fault) => {
    const played = cases.filter((one) => one.fault === fault);
    return rowOf(
      fault,
      played.length,
      played.flatMap(({ outcomes }) => outcomes),
    );
  });
  const many = `${kills.outcomes.length} kills in one run, one every ${kills.everyS} s`;
  const step = (1000 * stepS).toFixed(0);
  return [
    start,
    '',
    '## Measured',
    '',
    `\`npm run reliability -- --seed ${seed} --kills ${kills.outcomes.length} ` +
      `--every ${kills.everyS}\``,
    `on ${machine}, Node ${node}, ${date}; a step takes ${step} ms there on one worker.`,
    `Each case is a run of its own on real processes. All ${cases.length}, and the one with ` +
      `${kills.outcomes.length} kills, ended with`,
    'the SHA-256 of a run that nothing happened to.',
    '',
    '| fault | cases | found: median / worst | next step: median / worst |',
    '| --- | --- | --- | --- |',
    ...rows,
    rowOf(many, 1, kills.outcomes),
    '',
    'Found: from the fault until the worker was reported as lost or left out of a world, or until',
    'another coordinator led.',
    'Next step: from the fault until a step was reported that was taken after it (S3: from its',
    'return until a checkpoint was whole again).',
    '',
    `**Goodput** under ${kills.outcomes.length} kills, on ${kills.workers} workers: ` +
      `${(100 * kills.goodput).toFixed(0)} % of the time was useful. The rest`,
    'passed between the last step before a world changed (a loss, or a worker that came back) and',
    `the first one after it. The ${kills.steps} steps took ${whole(kills.seconds.disturbed)} s; ` +
      `without kills they take ${whole(kills.seconds.undisturbed)} s.`,
    '',
    end,
  ].join('\n');
}

function whole(value: number): string {
  return value.toFixed(0);
}

function rowOf(fault: string, cases: number, outcomes: readonly Outcome[]): string {
  const found = medianAndWorst(outcomes.map(({ foundMs }) => foundMs));
  const goneOn = medianAndWorst(outcomes.map(({ goneOnMs }) => goneOnMs));
  return `| ${fault} | ${cases} | ${found} | ${goneOn} |`;
}

/** The page with another block of figures; at its end if it has none yet. */
export function replaceFigures(page: string, block: string): string {
  const [from, to] = [page.indexOf(start), page.indexOf(end)];
  if (from < 0 || to < from) return `${page.trimEnd()}\n\n${block}\n`;
  return page.slice(0, from) + block + page.slice(to + end.length);
}
