// The report on faults and on the run: lines for a person, JSON for a script. Pure.

import { median } from '../../shared/median.js';
import { faultKinds, type PlannedFault } from './faults.js';
import type { Cost, Followed } from './recovery.js';

/** "freeze worker-1 for 2.5 s" */
export function faultText({ kind, victim, peer, seconds, workers }: PlannedFault): string {
  const length = seconds > 0 ? ` for ${seconds} s` : '';
  if (kind === 'scale') return `scale to ${workers} worker${workers === 1 ? '' : 's'}`;
  if (kind.startsWith('coordinator')) return `${kind}${length}`;
  return `${kind} ${victim}${peer === '' ? '' : ` to ${peer}`}${length}`;
}

/** "noticed after 1.52 s, steps again after 1.97 s (worker-1 was lost: ...)" */
export function outcomeText({ outcome, detectedMs, recoveredMs, reason }: Followed): string {
  const why = reason === '' ? '' : ` (${reason})`;
  if (outcome === 'unnoticed') return 'the run went on without a pause';
  if (detectedMs === undefined) return 'not noticed so far';
  const noticed = `noticed after ${inSeconds(detectedMs)} s`;
  if (recoveredMs === undefined) return `${noticed}, no step since${why}`;
  return `${noticed}, steps again after ${inSeconds(recoveredMs)} s${why}`;
}

function inSeconds(ms: number): string {
  return (ms / 1000).toFixed(2);
}

/** The line of one fault; `atS` is when it struck, in seconds from the start. */
export function faultJson(followed: Followed, atS: number): object {
  const { fault, outcome, detectedMs, recoveredMs, reason, before } = followed;
  return {
    kind: 'fault',
    at: Math.round(1000 * atS) / 1000,
    ...plannedJson(fault),
    step: before.step,
    outcome,
    detected_ms: rounded(detectedMs),
    recovered_ms: rounded(recoveredMs),
    reason,
  };
}

/** A fault as it was planned. */
export function plannedJson({ kind, victim, peer, seconds, workers }: PlannedFault): object {
  return {
    ...{ fault: kind, victim, seconds },
    ...(peer === '' ? {} : { peer }),
    ...(workers === 0 ? {} : { workers }),
  };
}

function rounded(ms: number | undefined): number | null {
  return ms === undefined ? null : Math.round(ms);
}

/** Median and worst of times in milliseconds; undefined of none. */
export interface Spread {
  readonly median: number;
  readonly worst: number;
}

/** The spread of those that are known. */
export function spreadOf(times: readonly (number | undefined)[]): Spread | undefined {
  const known = times.filter((ms) => ms !== undefined);
  return known.length === 0 ? undefined : { median: median(known), worst: Math.max(...known) };
}

/** The faults of one kind. */
export interface KindSummary {
  readonly kind: string;
  readonly injected: number;
  readonly unnoticed: number;
  /** Of which no recovery is known. */
  readonly open: number;
  readonly detected: Spread | undefined;
  readonly recovered: Spread | undefined;
}

/** A summary for each kind that was injected. */
export function summarize(followed: readonly Followed[]): KindSummary[] {
  return faultKinds.flatMap((kind) => {
    const those = followed.filter(({ fault }) => fault.kind === kind);
    if (those.length === 0) return [];
    const count = (...outcomes: readonly string[]): number =>
      those.filter(({ outcome }) => outcomes.includes(outcome)).length;
    return {
      kind,
      injected: those.length,
      unnoticed: count('unnoticed'),
      open: count('open', 'lost'),
      detected: spreadOf(those.map(({ detectedMs }) => detectedMs)),
      recovered: spreadOf(those.map(({ recoveredMs }) => recoveredMs)),
    };
  });
}

/** The table of the summaries, under a heading. */
export function summaryRows(kinds: readonly KindSummary[]): (string | number)[][] {
  const cells = (spread: Spread | undefined): string[] =>
    spread === undefined ? ['-', '-'] : [inSeconds(spread.median), inSeconds(spread.worst)];
  return [
    [
      ...['fault', 'injected', 'unnoticed', 'open'],
      ...['noticed s, median', 'worst', 'steps again s, median', 'worst'],
    ],
    ...kinds.map(({ kind, injected, unnoticed, open, detected, recovered }) => [
      ...[kind, injected, unnoticed, open],
      ...[...cells(detected), ...cells(recovered)],
    ]),
  ];
}

/** What the faults cost, in words. */
export function costText({ steps, seconds, calmStepsPerS, goodput }: Cost): string {
  const text = `${steps} steps in ${seconds.toFixed(1)} s under faults`;
  if (goodput === undefined || calmStepsPerS === undefined) return text;
  const percent = Math.round(100 * goodput);
  return `${text}: ${percent} % of the undisturbed pace, ${calmStepsPerS.toFixed(2)} steps/s`;
}

/** The summaries and the cost for scripts. */
export function summaryJson(kinds: readonly KindSummary[], cost: Cost): object {
  const round = (spread: Spread | undefined): object | null =>
    spread === undefined
      ? null
      : { median: Math.round(spread.median), worst: Math.round(spread.worst) };
  return {
    faults: kinds.map(({ kind, injected, unnoticed, open, detected, recovered }) => ({
      ...{ fault: kind, injected, unnoticed, open },
      ...{ detected_ms: round(detected), recovered_ms: round(recovered) },
    })),
    steps: cost.steps,
    seconds: Math.round(10 * cost.seconds) / 10,
    undisturbed_steps_per_s: cost.calmStepsPerS ?? null,
    goodput: cost.goodput ?? null,
  };
}
