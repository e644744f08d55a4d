// Which checkpoint is the best one by the spec's metric. A checkpoint and its evaluation come in
// either order, and some evaluations never come: workers skip them when a newer one is due.

import type { BestCheckpoint, BestMetric } from '../../shared/checkpoint/best.js';
import type { EvaluationReport } from '../../shared/control/messages.js';
import { isDue } from '../../shared/spec/schema.js';
import type { Step } from '../../shared/words.js';

/** What is compared, and how often the generator is evaluated. */
export interface ContestRules {
  readonly metric: BestMetric;
  readonly everySteps: number;
  /** The best one that the run has so far. */
  readonly known: BestCheckpoint | undefined;
}

/** What is known of checkpoints and evaluations; changed in place. */
export interface Contest {
  readonly rules: ContestRules;
  best: BestCheckpoint | undefined;
  /** Values of steps that have no checkpoint yet. */
  readonly evaluated: Map<Step, number>;
  /** Checkpoints whose evaluation may yet come. */
  readonly unjudged: Set<Step>;
}

/** Checkpoints that are kept for an evaluation that is late; older ones are given up first. */
const maxUnjudged = 4;

/** Evaluations that wait for their checkpoint; older ones are forgotten first. */
const maxEvaluated = 8;

/** The contest of a run whose newest checkpoint is that of `savedStep`. */
export function createContest(rules: ContestRules, savedStep: Step | undefined): Contest {
  const contest = { rules, best: rules.known, evaluated: new Map(), unjudged: new Set<Step>() };
  if (savedStep !== undefined && savedStep !== rules.known?.step)
    noteCheckpoint(contest, savedStep);
  return contest;
}

/** Notes an evaluation; whether another checkpoint is the best one now. */
export function noteEvaluation(contest: Contest, report: EvaluationReport): boolean {
  const { step, [contest.rules.metric]: value } = report;
  // Evaluations come in the order of their steps.
  for (const passed of [...contest.unjudged]) if (passed < step) contest.unjudged.delete(passed);
  if (value === undefined || !Number.isFinite(value)) return false;
  if (contest.unjudged.delete(step)) return compare(contest, step, value);
  contest.evaluated.set(step, value);
  while (contest.evaluated.size > maxEvaluated)
    contest.evaluated.delete(Math.min(...contest.evaluated.keys()));
  return false;
}

/** Notes that a checkpoint is whole; whether it is the best one now. */
export function noteCheckpoint(contest: Contest, step: Step): boolean {
  const value = contest.evaluated.get(step);
  for (const passed of [...contest.evaluated.keys()])
    if (passed <= step) contest.evaluated.delete(passed);
  if (value !== undefined) return compare(contest, step, value);
  if (step === contest.best?.step) return false;
  // The newest may be the last, which is evaluated whatever its step; others only when it is due.
  const { everySteps } = contest.rules;
  for (const before of [...contest.unjudged])
    if (!isDue(everySteps, before)) contest.unjudged.delete(before);
  contest.unjudged.add(step);
  while (contest.unjudged.size > maxUnjudged)
    contest.unjudged.delete(Math.min(...contest.unjudged));
  return false;
}

/** Checkpoints above `step` are none any more. */
export function forgetAbove(contest: Contest, step: Step): void {
  if (contest.best !== undefined && contest.best.step > step) contest.best = undefined;
  for (const above of [...contest.unjudged]) if (above > step) contest.unjudged.delete(above);
  for (const above of [...contest.evaluated.keys()])
    if (above > step) contest.evaluated.delete(above);
}

/** Steps whose checkpoints stay however old they are, ascending. */
export function stepsToKeep({ best, unjudged }: Contest): Step[] {
  const steps = new Set(best === undefined ? unjudged : [best.step, ...unjudged]);
  return [...steps].sort((a, b) => a - b);
}

/** Of equals the earlier one stays. */
function compare(contest: Contest, step: Step, value: number): boolean {
  const { metric } = contest.rules;
  const { best } = contest;
  const isBetter =
    best === undefined || (metric === 'identity' ? value < best.value : value > best.value);
  if (isBetter) contest.best = { step, metric, value };
  return isBetter;
}
