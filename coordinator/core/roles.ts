// Whose word counts, and for what. Whoever reaches the address can say hello: a process that was
// started by mistake, or nobody of this run at all. So a report is believed of members only, a
// state only of those that were in a world, and a step only if the run has it.

import type { Hello, WorkerMessage, WorkerStatus } from '../../shared/control/messages.js';
import type { CoordinatorState, FormedWorld, WorkerView } from './state.js';

/** Whether the worker is in the present world or, between two, was in the one before. */
export function isMember(
  { lastWorld }: CoordinatorState,
  { worker, incarnation }: Pick<WorkerView, 'worker' | 'incarnation'>,
): boolean {
  return isIn(lastWorld, { worker, incarnation });
}

function isIn(
  world: Pick<FormedWorld, 'members'> | undefined,
  { worker, incarnation }: Pick<WorkerView, 'worker' | 'incarnation'>,
): boolean {
  return world?.members.some((m) => m.worker === worker && m.incarnation === incarnation) === true;
}

/** What a worker reports besides its status. */
export type Report = Exclude<WorkerMessage, { kind: 'hello' | 'status' | 'failure' }>;

/** Whether a report is the worker's to make: of its world, and by the one that was asked to. */
export function isEntitled(state: CoordinatorState, view: WorkerView, report: Report): boolean {
  const { stage, config } = state;
  // One that was away from its world may be all that has the last state.
  const isSaver = stage.kind === 'finishing' && stage.savers.includes(view.worker);
  if (report.step > config.lastStep || !(isSaver || isMember(state, view))) return false;
  const isForAll = report.kind === 'stepReport' || report.kind === 'evaluation';
  return !isForAll || view.hasBeenFirst;
}

/** As much of a status as is believed: who was in no world has no state, and accuses nobody. */
export function believe(
  { config }: CoordinatorState,
  hasBeenMember: boolean,
  status: WorkerStatus,
): WorkerStatus {
  if (hasBeenMember && status.step <= config.lastStep) return status;
  return {
    ...status,
    ...{ generation: 0, step: 0, hasState: false, suspicions: [], trouble: '', obstacle: '' },
  };
}

/** Why the world of a hello can't be one; undefined for one that can, and for none. */
export function worldProblem({ config }: CoordinatorState, hello: Hello): string | undefined {
  const { generation, members, step, until } = hello.world;
  if (generation === 0) return undefined;
  const areRanked = members.every(({ rank }, i) => rank === i);
  const areDistinct = new Set(members.map(({ worker }) => worker)).size === members.length;
  const isSound = areRanked && areDistinct && members.length <= config.microShards;
  if (!isSound || step > until || until > config.lastStep || !isIn(hello.world, hello))
    return `its world ${generation} is none of this run`;
  return hello.run === '' ? `it has a world, ${generation}, and names no run` : undefined;
}

/** Notes that a worker has committed a step of the present world, if its status says so. */
export function noteTraining(state: CoordinatorState, view: WorkerView): void {
  const { generation, step } = view.status;
  const { lastWorld } = state;
  if (view.hasTrained || generation !== lastWorld?.generation || step <= lastWorld.step) return;
  view.hasTrained = true;
  state.hasTrained = true;
}

/** Notes the members of a world, as far as they are known: from now on their word counts. */
export function noteMembers(state: CoordinatorState, world: FormedWorld): void {
  state.lastWorld = world;
  for (const { worker, incarnation, rank } of world.members) {
    const view = state.workers.get(worker);
    if (view?.incarnation !== incarnation) continue;
    view.hasBeenMember = true;
    view.hasBeenFirst ||= rank === 0;
  }
}
