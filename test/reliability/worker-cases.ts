// Faults of a worker at each moment of its work: killed, frozen and thawed, asked to leave, or its
// network thread standing still. The moments between two worlds are made by a third worker that
// joins.

import type { Trap } from '../../shared/control/messages.js';
import type { DoneFault, Stage, WatchedRun } from '../support/watched-run.js';
import {
  long,
  outcomeOfChange,
  outcomeOfLoss,
  short,
  type Dice,
  type FaultCase,
  type Outcome,
  type Played,
} from './fault-case.js';

type Activity = Trap['activity'];
type Signal = Trap['signal'];

/** Steps of a run to which nothing but the fault happens, and of one that a worker joins. */
const shortRun = 60;
const longRun = 160;

const faults: Readonly<Record<Signal, string>> = {
  SIGKILL: 'a worker killed (SIGKILL)',
  SIGSTOP: 'a worker frozen (SIGSTOP), thawed later',
  SIGTERM: 'a worker asked to leave (SIGTERM)',
};

/** A frozen worker thaws so long after it was found; then it is in nobody's way. */
async function settle(run: WatchedRun, fault: DoneFault, signal: Signal): Promise<Outcome> {
  if (signal === 'SIGTERM') return outcomeOfChange(run, fault);
  const outcome = await outcomeOfLoss(run, fault);
  if (signal === 'SIGSTOP') await run.signal(fault.victim, 'SIGCONT');
  return outcome;
}

/** A step's activity, on one of two or three workers. */
async function playInStep(
  { signal, activity }: { readonly signal: Signal; readonly activity: Activity },
  stage: Stage,
  dice: Dice,
): Promise<Played> {
  const workers = dice.between(2, 3);
  const victim = dice.worker(workers);
  const run = stage.start({ workers, steps: shortRun });
  await run.trap(victim, { signal, activity, step: dice.between(2, 12) });
  const outcome = await settle(run, await run.sprung(victim), signal);
  return { run, steps: shortRun, outcomes: [outcome] };
}

/** The first part of a checkpoint is stored, and the coordinator has not heard of it. */
async function playSave(signal: Signal, stage: Stage, dice: Dice): Promise<Played> {
  const victim = dice.worker(2);
  const run = stage.start({ workers: 2, steps: shortRun, everySteps: 10 });
  await run.trap(victim, { signal, activity: 'save', step: dice.between(8, 20) });
  const outcome = await settle(run, await run.sprung(victim), signal);
  return { run, steps: shortRun, outcomes: [outcome] };
}

/** Worker 2 joins the other two; `who` is signalled as the new world is entered. */
async function playEntry(
  { signal, activity, who }: { signal: Signal; activity: Activity; who: string },
  stage: Stage,
  dice: Dice,
): Promise<Played> {
  const run = stage.start({ workers: 2, steps: longRun });
  await run.step(dice.between(2, 10));
  // Whoever is in the first world passes these moments there, too: it is over by now.
  if (who !== 'worker-2') await run.trap(who, { signal, activity, step: 1 });
  await run.scale(3);
  if (who === 'worker-2') await run.trap(who, { signal, activity, step: 0 });
  const outcome = await settle(run, await run.sprung(who), signal);
  return { run, steps: longRun, outcomes: [outcome] };
}

/** The last step is done, and the state is being stored. */
async function playFinish(signal: Signal, stage: Stage, dice: Dice): Promise<Played> {
  const victim = dice.worker(2);
  const run = stage.start({ workers: 2, steps: shortRun });
  await run.trap(victim, { signal, activity: 'finish', step: 0 });
  await run.sprung(victim);
  return { run, steps: shortRun, outcomes: [] };
}

/** The network thread stands still: its sockets are open, and nothing comes out of them. */
async function playFreeze(stage: Stage, dice: Dice): Promise<Played> {
  const victim = dice.worker(2);
  const run = stage.start({ workers: 2, steps: shortRun });
  await run.step(dice.between(2, 10));
  await run.inject(victim, { kind: 'fault', fault: 'freeze', seconds: 4, peer: '' });
  const [fault] = run.faults;
  return { run, steps: shortRun, outcomes: [await outcomeOfLoss(run, fault)] };
}

/** Nothing passes between two of three workers; both are heard by the coordinator. */
async function playMute(stage: Stage, dice: Dice, seconds: number): Promise<Played> {
  const run = stage.start({ workers: 3, steps: shortRun });
  await run.step(dice.between(2, 10));
  const [one, other] = [dice.between(0, 2), dice.between(1, 2)];
  const peer = `worker-${(one + other) % 3}`;
  await run.inject(`worker-${one}`, { kind: 'fault', fault: 'mute', seconds, peer });
  const [fault] = run.faults;
  return { run, steps: shortRun, outcomes: [await outcomeOfChange(run, fault)] };
}

type Chosen = (fault: string, moment: string, play: FaultCase['play']) => FaultCase;

const inStep = (choose: Chosen, signal: Signal, activity: Activity): FaultCase =>
  choose(faults[signal], `at ${activity}`, (stage, dice) =>
    playInStep({ signal, activity }, stage, dice),
  );

/** Moments between two worlds, who is struck then, and their words. */
const entries = [
  ['enter', 'worker-1', 'as it is told of a new world'],
  ['take', 'worker-2', 'as it takes the state of a peer'],
  ['serve', 'worker-0', 'as it hands its state to a peer'],
  ['connect', 'worker-1', 'as it connects to a new world'],
] as const;

function atEntries(signal: Signal, shortOnes: readonly Activity[] = []): FaultCase[] {
  return entries.map(([activity, who, moment]) =>
    (shortOnes.includes(activity) ? short : long)(faults[signal], moment, (stage, dice) =>
      playEntry({ signal, activity, who }, stage, dice),
    ),
  );
}

function atEnd(choose: Chosen, signal: Signal): FaultCase[] {
  return [
    choose(faults[signal], 'as it stores a checkpoint', (stage, dice) =>
      playSave(signal, stage, dice),
    ),
    choose(faults[signal], 'as it stores the last state', (stage, dice) =>
      playFinish(signal, stage, dice),
    ),
  ];
}

const halfOpen = 'a half-open link (network thread frozen for 4 s)';
const cutLink = 'a cut link between two workers';

/** Faults of one worker. */
export const workerCases: readonly FaultCase[] = [
  inStep(long, 'SIGKILL', 'data'),
  inStep(long, 'SIGKILL', 'compute'),
  inStep(short, 'SIGKILL', 'exchange'),
  inStep(long, 'SIGKILL', 'update'),
  ...atEntries('SIGKILL', ['serve']),
  ...atEnd(long, 'SIGKILL'),
  inStep(long, 'SIGSTOP', 'data'),
  inStep(long, 'SIGSTOP', 'compute'),
  inStep(long, 'SIGSTOP', 'exchange'),
  inStep(long, 'SIGSTOP', 'update'),
  ...atEntries('SIGSTOP'),
  ...atEnd(long, 'SIGSTOP'),
  inStep(long, 'SIGTERM', 'data'),
  inStep(long, 'SIGTERM', 'compute'),
  inStep(long, 'SIGTERM', 'exchange'),
  inStep(long, 'SIGTERM', 'update'),
  // Not as it is told of a new world.
  ...atEntries('SIGTERM').slice(1),
  ...atEnd(long, 'SIGTERM'),
  long(halfOpen, 'in a step', playFreeze),
  short(cutLink, 'for 4 s', (stage, dice) => playMute(stage, dice, 4)),
  long(cutLink, 'for good', (stage, dice) => playMute(stage, dice, 60)),
];
