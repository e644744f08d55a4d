// Faults of the coordinator: killed and started again, frozen, killed together with a worker, and
// failed over to a standby. Workers go on without it as long as their world does not change.

import { startNatsServer } from '../support/servers.js';
import { membersOf, type DoneFault, type Stage, type WatchedRun } from '../support/watched-run.js';
import {
  long,
  outcomeOfLoss,
  outcomeOfTakeOver,
  passes,
  short,
  type Dice,
  type FaultCase,
  type Played,
} from './fault-case.js';

const steps = 160;

const killed = 'the coordinator killed (SIGKILL)';
const frozen = 'the coordinator frozen (SIGSTOP)';

/** What has to have happened before the fault. */
type Moment = (run: WatchedRun, dice: Dice) => Promise<unknown>;

async function playKill(
  moment: Moment,
  stage: Stage,
  dice: Dice,
  isChanging = false,
): Promise<Played> {
  const run = stage.start({ workers: 2, steps });
  await moment(run, dice);
  const outcome = await outcomeOfTakeOver(run, await run.signal('coordinator', 'SIGKILL'));
  if (!isChanging) requireSameWorld(run);
  return { run, steps, outcomes: [outcome] };
}

/** Its workers have stayed in their world: nobody had to stop for the coordinator. */
function requireSameWorld(run: WatchedRun): void {
  const worlds = run.lines.filter(({ kind }) => kind === 'world').length;
  if (worlds !== 1) throw new Error(`there were ${worlds} worlds:\n${run.transcript()}`);
}

/** The coordinator and a worker go at once: training stands until there is a coordinator. */
async function playKillBoth(stage: Stage, dice: Dice): Promise<Played> {
  const run = stage.start({ workers: 2, steps });
  await run.step(dice.between(2, 10));
  const victim = dice.worker(2);
  const fault = await run.signal('coordinator', 'SIGKILL');
  await run.signal(victim, 'SIGKILL');
  const step = await run.goesOn(fault.atMs);
  return { run, steps, outcomes: [{ goneOnMs: step.atMs - fault.atMs }] };
}

/** The run is over but for the last checkpoint. */
async function playKillAtEnd(stage: Stage): Promise<Played> {
  const run = stage.start({ workers: 2, steps: 60 });
  await run.step(60);
  await run.signal('coordinator', 'SIGKILL');
  return { run, steps: 60, outcomes: [] };
}

/** It stands still for longer than any time limit, and finds its workers as it left them. */
async function playFreeze(stage: Stage, dice: Dice): Promise<Played> {
  const run = stage.start({ workers: 2, steps });
  await run.step(dice.between(2, 10));
  const fault = await run.signal('coordinator', 'SIGSTOP');
  await passes(2_000 + 250 * dice.between(0, 8));
  const { atMs } = await run.signal('coordinator', 'SIGCONT');
  const step = await run.line('step', undefined, atMs);
  return { run, steps, outcomes: [{ goneOnMs: step.atMs - fault.atMs }] };
}

/** While it is frozen a worker is killed: nobody is there to say so until it thaws. */
async function playFreezeAndKill(stage: Stage, dice: Dice): Promise<Played> {
  const run = stage.start({ workers: 2, steps });
  await run.step(dice.between(2, 10));
  await run.signal('coordinator', 'SIGSTOP');
  const fault = await run.signal(dice.worker(2), 'SIGKILL');
  await passes(2_000);
  const { atMs } = await run.signal('coordinator', 'SIGCONT');
  const { goneOnMs = 0 } = await outcomeOfLoss(run, fault);
  return { run, steps, outcomes: [{ goneOnMs: goneOnMs - (atMs - fault.atMs) }] };
}

/** A second coordinator takes over; a frozen one steps down when it thaws. */
async function playFailOver(signal: 'SIGKILL' | 'SIGSTOP', stage: Stage): Promise<Played> {
  const nats = await startNatsServer();
  const args = ['--nats', nats.url, '--standby'];
  // So long that the lease can expire meanwhile.
  const run = stage.start({ workers: 2, steps: longSteps, args });
  void run.end().then(nats.close);
  // The standby is started when the run is open, and says whom it stands by for.
  await run.line('notice', ({ text }) => /standing by/.test(String(text)));
  const fault = await signalLeader(run, signal);
  const outcome = await outcomeOfTakeOver(run, fault);
  if (signal === 'SIGSTOP') process.kill(fault.pid, 'SIGCONT');
  return { run, steps: longSteps, outcomes: [outcome] };
}

const longSteps = 400;

async function signalLeader(
  run: WatchedRun,
  signal: NodeJS.Signals,
): Promise<DoneFault & { readonly pid: number }> {
  const first = await run.line('coordinator');
  const pid = Number(first.line['pid']);
  process.kill(pid, signal);
  return { ...run.note(signal, 'coordinator'), pid };
}

const inStep: Moment = (run, dice) => run.step(dice.between(2, 10));
const newWorld: Moment = async (run, dice) => {
  await run.step(dice.between(2, 10));
  await run.scale(3);
  await run.line('world', (line) => membersOf(line).length === 3);
};

const failOver = 'fail-over to a standby (NATS)';
const nats = 'nats-server';

/** Faults of the coordinator. */
export const coordinatorCases: readonly FaultCase[] = [
  long(killed, 'in a step', (stage, dice) => playKill(inStep, stage, dice)),
  long(killed, 'when a checkpoint was declared whole', (stage, dice) =>
    playKill((run) => run.line('checkpoint'), stage, dice),
  ),
  long(killed, 'as the first world is entered', (stage, dice) =>
    playKill((run) => run.line('world'), stage, dice, true),
  ),
  short(killed, 'as a new world is entered', (stage, dice) =>
    playKill(newWorld, stage, dice, true),
  ),
  long(killed, 'as the last state is stored', playKillAtEnd),
  long(killed, 'and a worker with it', playKillBoth),
  long(frozen, 'for 2 to 4 s', playFreeze),
  long(frozen, 'and a worker killed meanwhile', playFreezeAndKill),
  short(failOver, 'after SIGKILL', (stage) => playFailOver('SIGKILL', stage), nats),
  long(failOver, 'after SIGSTOP', (stage) => playFailOver('SIGSTOP', stage), nats),
];
