// A worker's decisions: when to prepare, connect, train, give up, store and leave.

import { exitCodes } from '../../shared/exit-codes.js';
import {
  protocolVersion,
  type CoordinatorMessage,
  type WorkerMessage,
  type WorldMessage,
} from '../../shared/control/messages.js';
import type { WorkerEffect, WorkerEvent, WorkerState } from './state.js';

/** A decision: the next state, and what the edges have to do, in this order. */
export interface Decision {
  readonly state: WorkerState;
  readonly effects: readonly WorkerEffect[];
}

/** What the worker does about an event. Pure: same arguments, same decision. */
export function transition(state: WorkerState, event: WorkerEvent): Decision {
  if (state.stage.kind === 'ended') return decide(state);
  switch (event.kind) {
    case 'sessionOpened':
      return decide(state, send({ kind: 'hello', protocol: protocolVersion, ...state.config }));
    case 'message':
      return onMessage(state, event.message);
    case 'sessionLost':
      return end(state, exitCodes.failed, `the coordinator was lost: ${event.reason}`);
    case 'prepared':
      return onPrepared(state);
    case 'joined':
      if (state.stage.kind !== 'connecting') return decide(state);
      return decide({ ...state, stage: { kind: 'training' } }, { kind: 'train' });
    case 'peerLost':
      return onPeerLost(state, event.worker, event.reason);
    case 'activity':
      return decide({ ...state, step: event.step, activity: event.activity });
    case 'tell':
      return decide(state, send(event.message));
    case 'halted':
      return onHalted(state, event.step);
    case 'failed':
      return onFailed(state, event.reason, event.exitCode);
    case 'stopAsked':
      return onStopAsked(state);
    case 'tick':
      return onTick(state);
  }
}

function decide(state: WorkerState, ...effects: WorkerEffect[]): Decision {
  return { state, effects };
}

function send(message: WorkerMessage): WorkerEffect {
  return { kind: 'send', message };
}

function end(state: WorkerState, exitCode: number, reason: string): Decision {
  return decide({ ...state, stage: { kind: 'ended' } }, { kind: 'end', exitCode, reason });
}

function onMessage(state: WorkerState, message: CoordinatorMessage): Decision {
  switch (message.kind) {
    case 'welcome':
      return decide({ ...state, run: { url: message.runUrl, record: message.record } });
    case 'world':
      return onWorld(state, message);
    case 'connect':
      return onConnect(state, message.generation);
    case 'requestStop':
      return decide(state, { kind: 'voteStop' });
    case 'abort':
      return onAbort(state, message.reason);
    case 'save':
      return decide(state, message);
    case 'end':
      return end(state, message.exitCode, message.reason);
  }
}

function onWorld(state: WorkerState, world: WorldMessage): Decision {
  const me = world.members.find(
    ({ worker, incarnation }) =>
      worker === state.config.worker && incarnation === state.config.incarnation,
  );
  if (me === undefined || state.run === undefined)
    return end(state, exitCodes.failed, 'the world was formed without this worker');
  const { url: runUrl, record } = state.run;
  const { step, until } = world;
  const worldSize = world.members.length;
  return decide(
    { ...state, stage: { kind: 'preparing' }, world, rank: me.rank, step, activity: 'prepare' },
    { kind: 'prepare', runUrl, record, rank: me.rank, worldSize, step, until },
  );
}

function onPrepared(state: WorkerState): Decision {
  if (state.stage.kind !== 'preparing' || state.world === undefined) return decide(state);
  const { generation } = state.world;
  return decide(
    { ...state, stage: { kind: 'prepared' }, activity: 'wait' },
    send({ kind: 'prepared', generation }),
  );
}

function onConnect(state: WorkerState, generation: number): Decision {
  const { world, rank } = state;
  if (state.stage.kind !== 'prepared' || world?.generation !== generation) return decide(state);
  return decide(
    { ...state, stage: { kind: 'connecting' }, activity: 'connect' },
    { kind: 'join', world, rank },
  );
}

/** One report of a lost peer is enough; the coordinator decides what follows. */
function onPeerLost(state: WorkerState, worker: string, reason: string): Decision {
  if (state.stage.kind !== 'training' && state.stage.kind !== 'connecting') return decide(state);
  return decide(state, send({ kind: 'suspicion', worker, reason }));
}

function onAbort(state: WorkerState, reason: string): Decision {
  switch (state.stage.kind) {
    case 'halted':
      return decide(state, send({ kind: 'halted', step: state.step }));
    case 'training':
      return decide({ ...state, stage: { kind: 'aborting' } }, { kind: 'abort', reason });
    default:
      // Nothing was trained yet: the state is still that of the world's first step.
      return decide(
        { ...state, stage: { kind: 'aborting' } },
        { kind: 'abort', reason },
        send({ kind: 'halted', step: state.world?.step ?? state.step }),
      );
  }
}

function onHalted(state: WorkerState, step: number): Decision {
  const halted = { ...state, stage: { kind: 'halted' }, step, activity: 'halted' } as const;
  return decide(halted, send({ kind: 'halted', step }));
}

/** The coordinator is told and ends the run; the reason goes to this worker's log as well. */
function onFailed(state: WorkerState, reason: string, exitCode: number): Decision {
  return decide(
    { ...state, stage: { kind: 'ended' } },
    send({ kind: 'failure', reason: reason.slice(0, 4000), exitCode }),
    { kind: 'end', exitCode, reason },
  );
}

function onStopAsked(state: WorkerState): Decision {
  if (state.stage.kind === 'joining')
    return end(state, exitCodes.stopped, 'stopped before training');
  return decide(state, { kind: 'voteStop' });
}

function onTick(state: WorkerState): Decision {
  if (state.stage.kind === 'joining') return decide(state);
  const { step, activity } = state;
  const generation = state.world?.generation ?? 0;
  return decide(state, send({ kind: 'progress', generation, step, activity }));
}
