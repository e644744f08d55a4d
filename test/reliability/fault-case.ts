// One case of the fault matrix: what happens to a run, and what has to come of it. Whatever
// happens, the run ends in order with the bytes of an undisturbed one; a worker that is killed or
// frozen is found within two seconds, and training goes on within five.

import assert from 'node:assert/strict';
import { messageOf } from '../../shared/problems.js';
import { hashIntegers } from '../../shared/random.js';
import type { ServerProgram } from '../support/servers.js';
import type { DoneFault, Stage, WatchedRun } from '../support/watched-run.js';

/** What the operator was promised (docs/reliability.md). */
export const limits = { foundMs: 2_000, goneOnMs: 5_000 } as const;

/** A fault of a case, and what followed. */
export interface Outcome {
  /** From the fault until the worker was reported as lost; undefined when none was to be lost. */
  readonly foundMs?: number | undefined;
  /** From the fault until the next step that a new world, or a new coordinator, committed. */
  readonly goneOnMs?: number | undefined;
  /** The limits that hold for it. */
  readonly limits?: { readonly foundMs: number; readonly goneOnMs: number };
}

/** What is done to a run. */
export interface FaultCase {
  /** "SIGKILL of a worker": the row of the table. */
  readonly fault: string;
  /** "at exchange". */
  readonly moment: string;
  /** One of the shorter matrix, which the tests play. */
  readonly isShort: boolean;
  readonly needs?: ServerProgram | undefined;
  /** Plays it; gives the run, which ends by itself from then on, and what is known so far. */
  readonly play: Play;
}

type Play = (stage: Stage, dice: Dice) => Promise<Played>;

/** A case of the shorter matrix. */
export function short(fault: string, moment: string, play: Play, needs?: ServerProgram): FaultCase {
  return { fault, moment, isShort: true, needs, play };
}

/** A case that only `npm run reliability` plays. */
export function long(fault: string, moment: string, play: Play, needs?: ServerProgram): FaultCase {
  return { fault, moment, isShort: false, needs, play };
}

export interface Played {
  readonly run: WatchedRun;
  readonly steps: number;
  readonly outcomes: readonly Outcome[];
}

/** The name of a case. */
export function nameOf({ fault, moment }: FaultCase): string {
  return `${fault} ${moment}`;
}

/** Seeded choices. */
export interface Dice {
  /** A whole number from `low` to `high`. */
  between(low: number, high: number): number;
  worker(workers: number): string;
}

/** The dice of a case: others for each name, the same for the same seed. */
export function createDice(seed: number, name: string): Dice {
  const text = hashIntegers(...Array.from(name, (letter) => letter.codePointAt(0) ?? 0));
  let count = 0;
  const between = (low: number, high: number): number =>
    low + (hashIntegers(seed, text, count++) % (high - low + 1));
  return { between, worker: (workers) => `worker-${between(0, workers - 1)}` };
}

export interface Result {
  readonly outcomes: readonly Outcome[];
  /** "SIGKILL of worker-1 at exchange": what was done, in words. */
  readonly done: string;
  /** What is wrong, if something is; with the transcript of the run. */
  readonly failure?: string;
}

/** Plays a case to the end and judges it. */
export async function playCase(one: FaultCase, stage: Stage, seed: number): Promise<Result> {
  const dice = createDice(seed, nameOf(one));
  const { run, steps, outcomes } = await one.play(stage, dice);
  await run.end();
  const done = run.faults.map(({ what, victim }) => `${what} of ${victim}`).join(', ');
  try {
    await stage.check(run, steps);
    for (const outcome of outcomes) judge(outcome);
    return { outcomes, done };
  } catch (error) {
    const reason = messageOf(error);
    return { outcomes, done, failure: `${reason}\n${run.transcript()}` };
  }
}

function judge({ foundMs, goneOnMs, limits: given }: Outcome): void {
  if (given === undefined) return;
  const within = (ms: number | undefined, limitMs: number, what: string): void =>
    assert.ok(ms !== undefined && ms <= limitMs, `${what} after ${ms?.toFixed(0)} ms`);
  within(foundMs, given.foundMs, 'found');
  within(goneOnMs, given.goneOnMs, 'went on');
}

/** Waits until a worker was told as lost, and training went on without it. */
export async function outcomeOfLoss(run: WatchedRun, fault: DoneFault): Promise<Outcome> {
  const { atMs } = fault;
  const lost = await run.loss(fault);
  const step = await run.goesOn(lost.atMs);
  return { foundMs: lost.atMs - atMs, goneOnMs: step.atMs - atMs, limits };
}

/** Waits until training went on in another world after something that costs no worker. */
export async function outcomeOfChange(run: WatchedRun, { atMs }: DoneFault): Promise<Outcome> {
  const step = await run.goesOn(atMs);
  return { goneOnMs: step.atMs - atMs };
}

/** Waits until a coordinator leads that was not there before, and tells a step. */
export async function outcomeOfTakeOver(run: WatchedRun, { atMs }: DoneFault): Promise<Outcome> {
  const leads = await run.line('run', undefined, atMs);
  const step = await run.line('step', undefined, leads.atMs);
  return { foundMs: leads.atMs - atMs, goneOnMs: step.atMs - atMs };
}

/** Waits until so much time has passed: for faults that are nothing but time. */
export function passes(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

/** "found after 0.12 s, went on after 0.41 s" */
export function describeOutcomes(outcomes: readonly Outcome[]): string {
  const seconds = (ms: number): string => `${(ms / 1000).toFixed(2)} s`;
  return outcomes
    .flatMap(({ foundMs, goneOnMs }) => [
      ...(foundMs === undefined ? [] : [`found after ${seconds(foundMs)}`]),
      ...(goneOnMs === undefined ? [] : [`went on after ${seconds(goneOnMs)}`]),
    ])
    .join(', ');
}
