// Many kills in one run, one every few seconds: the run must end with the bytes of an undisturbed
// one of as many steps, and what share of the time was useful is measured.

import { exitCodes } from '../../shared/exit-codes.js';
import {
  membersOf,
  type SeenLine,
  type SeenMember,
  type Stage,
  type WatchedRun,
} from '../support/watched-run.js';
import { createDice, outcomeOfLoss, passes, type Dice, type Outcome } from './fault-case.js';

export interface KillOptions {
  readonly kills: number;
  /** Seconds from one to the next; longer while there is only one worker in the world. */
  readonly everyS: number;
  readonly seed: number;
  readonly workers: number;
  readonly onKill: (victim: string, outcome: Outcome) => void;
}

export interface KillResult {
  readonly outcomes: readonly Outcome[];
  readonly steps: number;
  /** Equal, or the promise is broken. */
  readonly sha256: { readonly disturbed: string; readonly undisturbed: string };
  /** From the first step to the last. */
  readonly seconds: { readonly disturbed: number; readonly undisturbed: number };
  /** Of the disturbed run's seconds, those in which it took no steps because its world changed. */
  readonly standstillS: number;
  readonly transcript: string;
}

/** More than any run takes: it is stopped after the last kill. */
const endless = 1_000_000;

/** Trains with kills, and then as many steps without. */
export async function playKills(stage: Stage, options: KillOptions): Promise<KillResult> {
  const { workers } = options;
  // Four times as long as it should take.
  const limitMs = 4_000 * options.kills * options.everyS + 120_000;
  const length = { workers, steps: endless, everySteps: 50, limitMs };
  const run = stage.start({ ...length, args: restarts(options) });
  const outcomes = await killAll(run, options);
  run.stop();
  const disturbed = await endOf(run);
  const args = ['--stop-after', `${disturbed.steps}`];
  const calm = stage.start({ ...length, args });
  const undisturbed = await endOf(calm);
  return {
    outcomes,
    steps: disturbed.steps,
    sha256: { disturbed: disturbed.sha256, undisturbed: undisturbed.sha256 },
    seconds: { disturbed: disturbed.seconds, undisturbed: undisturbed.seconds },
    standstillS: standstillOf(run.lines),
    transcript: run.transcript(),
  };
}

function restarts({ kills }: KillOptions): string[] {
  return ['--restarts', `${2 * kills}`];
}

async function killAll(run: WatchedRun, options: KillOptions): Promise<Outcome[]> {
  const { kills, everyS, seed, onKill } = options;
  const dice = createDice(seed, 'kills');
  const outcomes: Outcome[] = [];
  await run.step(2);
  for (let count = 0; count < kills; count++) {
    const startMs = performance.now();
    const victim = await chooseVictim(run, dice);
    const outcome = await outcomeOfLoss(run, await run.signal(victim, 'SIGKILL'));
    outcomes.push(outcome);
    onKill(victim, outcome);
    await passes(Math.max(0, everyS * 1000 - (performance.now() - startMs)));
  }
  return outcomes;
}

/** A member of a world that takes steps and can spare one. */
async function chooseVictim(run: WatchedRun, dice: Dice): Promise<string> {
  const newest = (): SeenLine | undefined => run.lines.findLast(({ kind }) => kind === 'world');
  const members = (): readonly SeenMember[] => membersOf(newest()?.line ?? {});
  const isTraining = (): boolean => {
    const world = newest();
    const step = run.lines.findLast(({ kind }) => kind === 'step');
    return world !== undefined && step !== undefined && step.atMs > world.atMs;
  };
  await run.until(() => members().length > 1 && isTraining(), 'a world of two workers');
  return members()[dice.between(0, members().length - 1)].worker;
}

async function endOf(run: WatchedRun): Promise<{ steps: number; sha256: string; seconds: number }> {
  const { code, last, said } = await run.end();
  if (code !== exitCodes.stopped)
    throw new Error(`it ended with exit code ${code}:\n${said}\n${run.transcript()}`);
  const steps = run.lines.filter(({ kind }) => kind === 'step');
  const [first, newest] = [steps[0], steps[steps.length - 1]];
  const seconds = (newest.atMs - first.atMs) / 1000;
  return { steps: Number(last['step']), sha256: String(last['sha256']), seconds };
}

/** Seconds between the last step before a change of the world and the first one after it. */
export function standstillOf(lines: readonly SeenLine[]): number {
  let [stepMs, standstillMs, isChanged]: [number | undefined, number, boolean] = [
    undefined,
    0,
    false,
  ];
  for (const { kind, atMs } of lines) {
    if (kind === 'world') isChanged = true;
    if (kind !== 'step') continue;
    if (isChanged && stepMs !== undefined) standstillMs += atMs - stepMs;
    [stepMs, isChanged] = [atMs, false];
  }
  return standstillMs / 1000;
}
