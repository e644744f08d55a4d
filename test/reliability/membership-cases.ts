// The world changes on purpose: workers join late, are scaled up and down, are asked to leave; and
// several things happen at once.

import { membersOf } from '../support/watched-run.js';
import {
  long,
  outcomeOfChange,
  outcomeOfLoss,
  short,
  type Dice,
  type FaultCase,
  type Played,
} from './fault-case.js';
import type { Stage } from '../support/watched-run.js';

/** Long enough for a process to start. */
const steps = 160;

/** Long enough for four to start at once beside a world that keeps the cores busy. */
const stepsOfStarting = 400;

const scaling = 'workers added or let go (scale)';
const several = 'several faults at once';
const flipped = 'a bit flipped in the state of a worker';

async function playScale(
  [before, after]: readonly [number, number],
  stage: Stage,
  dice: Dice,
): Promise<Played> {
  const run = stage.start({ workers: before, steps: stepsOfStarting });
  await run.step(dice.between(2, 10));
  await run.scale(after);
  const asked = run.note(`scale ${before} to ${after}`, 'the run');
  const outcome = await outcomeOfChange(run, asked);
  return { run, steps: stepsOfStarting, outcomes: [outcome] };
}

/** Up while training, and down again as soon as the newcomer takes part. */
async function playUpAndDown(stage: Stage, dice: Dice): Promise<Played> {
  const run = stage.start({ workers: 1, steps });
  await run.step(dice.between(2, 5));
  await run.scale(3);
  const world = await run.line('world', (line) => membersOf(line).length === 3);
  await run.scale(1);
  const asked = run.note('scale 3 to 1', 'the run');
  await run.line('world', (line) => membersOf(line).length === 1, world.atMs);
  return { run, steps, outcomes: [await outcomeOfChange(run, asked)] };
}

/** All but one are killed at the same moment. */
async function playKillMany(stage: Stage, dice: Dice): Promise<Played> {
  const run = stage.start({ workers: 3, steps });
  await run.step(dice.between(2, 10));
  const left = dice.between(0, 2);
  const victims = [0, 1, 2].filter((i) => i !== left).map((i) => `worker-${i}`);
  const kills = await Promise.all(victims.map((victim) => run.signal(victim, 'SIGKILL')));
  const outcomes = await Promise.all(kills.map((kill) => outcomeOfLoss(run, kill)));
  return { run, steps, outcomes };
}

/** No state is left but the checkpoints': the next world starts from the newest. */
async function playKillAll(stage: Stage, dice: Dice): Promise<Played> {
  const run = stage.start({ workers: 2, steps, everySteps: 10 });
  await run.step(dice.between(12, 30));
  await run.line('checkpoint');
  const kills = await Promise.all([0, 1].map((i) => run.signal(`worker-${i}`, 'SIGKILL')));
  const outcome = await outcomeOfChange(run, kills[0]);
  return { run, steps, outcomes: [outcome] };
}

/** A third worker takes its state from one that is killed, and another is killed as well. */
async function playKillWhileEntering(stage: Stage, dice: Dice): Promise<Played> {
  const run = stage.start({ workers: 3, steps: stepsOfStarting });
  await run.step(dice.between(2, 10));
  await run.signal('worker-2', 'SIGKILL');
  await run.line('lost');
  // It comes back, and is told of a world; then one that has been there all along goes.
  await run.line('worker', (line) => line['worker'] === 'worker-2', run.faults[0].atMs);
  await run.trap('worker-1', { signal: 'SIGKILL', activity: 'enter', step: 5 });
  const outcome = await outcomeOfLoss(run, await run.sprung('worker-1'));
  return { run, steps: stepsOfStarting, outcomes: [outcome] };
}

/** The same worker is killed again and again, as soon as it takes part. */
async function playKillAgain(stage: Stage, dice: Dice): Promise<Played> {
  const run = stage.start({ workers: 2, steps: stepsOfStarting });
  await run.step(dice.between(2, 10));
  const first = await run.signal('worker-1', 'SIGKILL');
  const outcomes = [await outcomeOfLoss(run, first)];
  await run.line('world', (line) => membersOf(line).length === 2, first.atMs);
  outcomes.push(await outcomeOfLoss(run, await run.signal('worker-1', 'SIGKILL')));
  return { run, steps: stepsOfStarting, outcomes };
}

/** A world that waits for a frozen worker is asked to let another one go. */
async function playFreezeAndLeave(stage: Stage, dice: Dice): Promise<Played> {
  const run = stage.start({ workers: 3, steps });
  await run.step(dice.between(2, 10));
  const frozen = await run.signal('worker-0', 'SIGSTOP');
  await run.signal('worker-2', 'SIGTERM');
  const outcome = await outcomeOfLoss(run, frozen);
  await run.signal('worker-0', 'SIGCONT');
  return { run, steps, outcomes: [outcome] };
}

/** One bit of a worker's state changes; with three workers the others are right. */
async function playFlip(workers: number, stage: Stage, dice: Dice): Promise<Played> {
  const run = stage.start({ workers, steps, everySteps: 10 });
  await run.step(dice.between(12, 20));
  await run.line('checkpoint');
  const victim = dice.worker(workers);
  await run.inject(victim, { kind: 'fault', fault: 'flip', seconds: 0, peer: '' });
  const outcome = await outcomeOfChange(run, run.faults[0]);
  return { run, steps, outcomes: [outcome] };
}

const scaled =
  (before: number, after: number) =>
  (stage: Stage, dice: Dice): Promise<Played> =>
    playScale([before, after], stage, dice);

/** Changes of the world, and faults in combination. */
export const membershipCases: readonly FaultCase[] = [
  long(scaling, 'from 2 to 3', scaled(2, 3)),
  long(scaling, 'from 1 to 5', scaled(1, 5)),
  long(scaling, 'from 3 to 1', scaled(3, 1)),
  long(scaling, 'up and down', playUpAndDown),
  long(several, '(two of three workers killed)', playKillMany),
  short(several, '(all workers killed)', playKillAll),
  long(several, '(a worker killed while another one enters)', playKillWhileEntering),
  long(several, '(a worker killed again when it is back)', playKillAgain),
  long(several, '(one frozen while another one leaves)', playFreezeAndLeave),
  long(flipped, '(three workers)', (stage, dice) => playFlip(3, stage, dice)),
  long(flipped, '(two workers)', (stage, dice) => playFlip(2, stage, dice)),
];
