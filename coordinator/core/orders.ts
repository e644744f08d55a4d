// What each worker should do now, sent until its status shows that it was obeyed. An order that is
// lost is given again; one that comes twice is ignored by the worker.

import type { CoordinatorMessage } from '../../shared/control/messages.js';
import { exitCodes } from '../../shared/exit-codes.js';
import type { Step } from '../../shared/words.js';
import { isFinished } from './ending.js';
import { worldMessage } from './forming.js';
import {
  isFree,
  isLeaving,
  viewOf,
  workersOf,
  type CoordinatorEffect,
  type CoordinatorState,
  type FormedWorld,
  type WorkerView,
} from './state.js';

/** The orders that are due, in the order of the workers' names. */
export function giveOrders(state: CoordinatorState): CoordinatorEffect[] {
  const { nowMs, config } = state;
  const give = orderOf(state);
  return workersOf(state).flatMap((view): CoordinatorEffect[] => {
    if (view.session === undefined) return [];
    const order = give(view);
    if (order === undefined) {
      view.order = undefined;
      return [];
    }
    const given = view.order?.key === order.key ? view.order : undefined;
    if (given !== undefined && order.isObeyed === true) return [];
    if (given !== undefined && nowMs - given.sentMs < config.timing.resendMs) return [];
    view.order = { key: order.key, sentMs: nowMs };
    return [{ kind: 'send', worker: view.worker, message: order.message() }];
  });
}

/** An order; its message is made only when it is sent. */
interface Order {
  readonly key: string;
  /** It is being carried out, and must not be given again. */
  readonly isObeyed?: boolean;
  message(): CoordinatorMessage;
}

function orderOf(state: CoordinatorState): (view: WorkerView) => Order | undefined {
  const { stage } = state;
  switch (stage.kind) {
    case 'running':
      return ordersOfWorld(state, stage.world);
    case 'halting': {
      const { world, mode, reason } = stage;
      const isMember = membership(world);
      return (view) =>
        isMember(view) && view.status.generation === world.generation
          ? haltOrder(view, mode, reason)
          : recall(view, world.generation);
    }
    case 'finishing': {
      const { world, step, savers } = stage;
      const isMissing = isUnfinished(state, step, savers);
      return (view) =>
        savers.includes(view.worker)
          ? finishOrder(view, step, savers, isMissing)
          : recall(view, world.generation);
    }
    case 'gathering':
      return (view) => farewell(view) ?? recall(view, 0);
    case 'ended':
      return () => undefined;
  }
}

function membership(world: FormedWorld): (view: WorkerView) => boolean {
  const members = new Map(world.members.map((m) => [m.worker, m.incarnation] as const));
  return (view) => members.get(view.worker) === view.incarnation;
}

function ordersOfWorld(
  state: CoordinatorState,
  world: FormedWorld,
): (view: WorkerView) => Order | undefined {
  const { generation } = world;
  const isMember = membership(world);
  const canConnect = world.members.every((member) => {
    const status = viewOf(state, member)?.status;
    if (status?.generation !== generation) return false;
    return ['entered', 'connecting', 'training'].includes(status.stage);
  });
  return (view) => {
    if (!isMember(view)) return farewell(view) ?? recall(view, generation);
    if (view.status.generation < generation)
      return { key: `world ${generation}`, message: () => worldMessage(state, world, view) };
    if (view.status.stage !== 'entered' || !canConnect) return undefined;
    return { key: `connect ${generation}`, message: () => ({ kind: 'connect', generation }) };
  };
}

/**
 * A saver that has finished another share, because one was lost, is asked again; not before it has
 * finished, since until then it takes no other order. What it does is what was ordered last; of a
 * saver of another coordinator nobody knows which share that is.
 */
function finishOrder(
  view: WorkerView,
  step: Step,
  savers: readonly string[],
  isMissing: boolean,
): Order {
  const { generation, stage } = view.status;
  const [share, shares] = [savers.indexOf(view.worker), savers.length];
  const message = { kind: 'finish', generation, step, share, shares } as const;
  const key = `finish ${generation} ${step} ${share}/${shares}`;
  const isBusy = stage === 'finishing';
  return {
    key: isBusy ? (view.order?.key ?? 'finish an unknown share') : key,
    isObeyed: isBusy || (stage === 'finished' && !isMissing),
    message: () => message,
  };
}

/** All have finished, and still not all parts are known: an order or a report was lost. */
function isUnfinished(state: CoordinatorState, step: Step, savers: readonly string[]): boolean {
  if ((state.savedStep ?? -1) >= step || state.pending.get(step)?.isStoring === true) return false;
  return savers.every((worker) => isFinished(state, worker));
}

/** A worker that asked to leave, or is one too many, goes when no world counts on it. */
function farewell(view: WorkerView): Order | undefined {
  if (!isLeaving(view) || !isFree(view)) return undefined;
  const message = { kind: 'end', exitCode: exitCodes.drained, reason: 'left in order' } as const;
  return { key: 'end', message: () => message };
}

function haltOrder(view: WorkerView, mode: 'vote' | 'abort', reason: string): Order | undefined {
  const { generation, stage } = view.status;
  const isBusy = ['entering', 'entered', 'connecting', 'training'].includes(stage);
  if (!isBusy) return undefined;
  const kind = mode === 'vote' && stage === 'training' ? 'vote' : 'abort';
  const text = reason.slice(0, 1000);
  return { key: `${kind} ${generation}`, message: () => ({ kind, generation, reason: text }) };
}

/** A worker in a world that is no more has to give it up, so that it can be in the next. */
function recall(view: WorkerView, present: number): Order | undefined {
  const { generation } = view.status;
  if (generation === 0 || generation === present) return undefined;
  return haltOrder(view, 'abort', 'its world is no more');
}
