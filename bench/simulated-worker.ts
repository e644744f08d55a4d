// A worker of the coordinator bench: the real worker core with edges that obey at once. It loads,
// takes states and connects in no time; what it computes, and when, the bench says.

import type {
  CoordinatorMessage,
  Pace,
  WorkerMessage,
  WorldMessage,
} from '../shared/control/messages.js';
import type { Generation, Step } from '../shared/words.js';
import {
  initialWorkerState,
  type WorkerConfig,
  type WorkerEffect,
  type WorkerEvent,
  type WorkerState,
} from '../worker/core/state.js';
import { transition } from '../worker/core/transition.js';

export interface SimulatedWorker {
  readonly id: string;
  /** What it says to the coordinator since it was asked last. */
  takeMessages(): WorkerMessage[];
  /** A session is open, its first or one after another that was lost: it says hello. */
  open(nowMs: number): void;
  receive(message: CoordinatorMessage, nowMs: number): void;
  /** Time for a heartbeat. */
  tick(nowMs: number): void;
  /** It has committed `step`; it halts after it if that was asked for. */
  commit(step: Step, pace: Pace, nowMs: number): void;
  /** A peer of its world has died. */
  losePeer(peer: string, nowMs: number): void;
  /** The world it trains in; undefined while it does not train. */
  training(): Omit<WorldMessage, 'kind'> | undefined;
  /** Steps committed. */
  step(): Step;
}

const patience = { patienceMs: 600_000, drainMs: 60_000, allowsFaults: false };

/** Creates a worker without a session. `isDead` says which peers can't be connected to. */
export function createSimulatedWorker(
  identity: Pick<WorkerConfig, 'worker' | 'incarnation' | 'address'>,
  isDead: (peer: string) => boolean,
): SimulatedWorker {
  const config = { ...identity, ...patience, pid: 1, host: 'bench' };
  const state = initialWorkerState(config, 0);
  let said: WorkerMessage[] = [];
  let votedIn: Generation | undefined;
  const happen = (event: WorkerEvent, nowMs: number): void => {
    const events = [event];
    for (let next = events.shift(); next !== undefined; next = events.shift())
      for (const effect of transition(state, next, nowMs)) {
        if (effect.kind === 'send') said.push(effect.message);
        else if (effect.kind === 'voteStop') votedIn = state.world.generation;
        else events.push(...answer(state, effect, isDead));
      }
  };
  return {
    id: identity.worker,
    takeMessages: () => {
      const messages = said;
      said = [];
      return messages;
    },
    open: (nowMs) => {
      happen({ kind: 'sessionLost', reason: 'the coordinator is gone' }, nowMs);
      happen({ kind: 'sessionOpened' }, nowMs);
    },
    receive: (message, nowMs) => happen({ kind: 'message', message }, nowMs),
    tick: (nowMs) => happen({ kind: 'tick' }, nowMs),
    commit: (step, pace, nowMs) => {
      happen({ kind: 'activity', step, activity: 'exchange' }, nowMs);
      happen({ kind: 'paced', pace }, nowMs);
      if (state.rank === 0) happen({ kind: 'tell', message: reportOf(step, pace) }, nowMs);
      const { generation, until } = state.world;
      const isOver = step >= until || votedIn === generation;
      if (isOver) happen({ kind: 'halted', generation, step, hasState: true, trouble: '' }, nowMs);
    },
    losePeer: (worker, nowMs) => {
      const reason = '14 UNAVAILABLE: the connection was dropped';
      happen({ kind: 'peerLost', generation: state.world.generation, worker, reason }, nowMs);
    },
    training: () => (state.stage === 'training' ? state.world : undefined),
    step: () => state.step,
  };
}

/** What obedient edges report back. */
function answer(
  state: WorkerState,
  effect: WorkerEffect,
  isDead: (peer: string) => boolean,
): WorkerEvent[] {
  switch (effect.kind) {
    case 'prepare':
      return [{ kind: 'ready', fingerprint: 'bench' }];
    case 'enter':
      return [{ kind: 'entered', generation: effect.generation }];
    case 'join': {
      const { generation, members } = effect.world;
      const dead = members.filter(({ worker }) => isDead(worker));
      if (dead.length === 0) return [{ kind: 'joined', generation }];
      return dead.map(({ worker }) => {
        return { kind: 'peerLost', generation, worker, reason: 'connection refused' };
      });
    }
    case 'abort': {
      const { step, hasState } = state;
      return [{ kind: 'halted', generation: effect.generation, step, hasState, trouble: '' }];
    }
    case 'finish':
      return [{ kind: 'finished', generation: effect.generation, step: effect.step }];
    default:
      return [];
  }
}

/** As many metrics as an adversarial step of the real task has. */
const metricNames = ['pixel', 'perceptual', 'adversarial', 'generator', 'discriminator', 'psnr'];

function reportOf(step: Step, pace: Pace): WorkerMessage {
  const { waitedFor: _for, sentBytes: _sent, receivedBytes: _received, ...seconds } = pace;
  const metrics = metricNames.map((name) => ({ name, value: 0.5 }));
  return { kind: 'stepReport', step, phase: 'pixel', metrics, isSkipped: false, ...seconds };
}
