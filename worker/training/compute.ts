// The compute thread's side of a worker, messages in and messages out: it does what the network
// thread's decisions ask for (load the run, live through its worlds, send the state to peers).

import type { Generation } from '../../shared/words.js';
import type { ToCompute } from '../network/ports.js';
import type { StepRecorder } from '../step-trace/step-recorder.js';
import { failedMessage } from './failure.js';
import type { PreparedRun, PrepareOrder, SendToNetwork } from './prepare.js';
import type { EnterOrder } from './state.js';
import { WorldTraining } from './world.js';

interface ComputeOptions {
  readonly send: SendToNetwork;
  readonly recorder: StepRecorder;
  readonly prepare: (order: PrepareOrder) => Promise<PreparedRun>;
}

export interface Compute {
  /** Takes a message of the network thread; `end` and `trap` are the caller's own business. */
  onMessage(message: ToCompute): void;
  close(): Promise<void>;
}

/** The compute side of one worker. */
export function createCompute({ send, recorder, prepare }: ComputeOptions): Compute {
  let preparing: Promise<PreparedRun> | undefined;
  let run: PreparedRun | undefined;
  let world: WorldTraining | undefined;
  const fail = (error: unknown): void => send(failedMessage(error));

  const load = async (order: PrepareOrder): Promise<void> => {
    if (preparing !== undefined) throw new Error('a run is prepared once');
    preparing = prepare(order);
    run = await preparing;
    send({ kind: 'ready', fingerprint: run.fingerprint });
  };
  const enter = (order: EnterOrder): void => {
    if (run === undefined) throw new Error('a world before the run is loaded');
    const previous = world?.leave() ?? Promise.resolve();
    world = new WorldTraining(run, order, previous, send, recorder, fail);
    world.enter();
  };
  const requireWorld = (generation: Generation): WorldTraining => {
    if (world?.generation === generation) return world;
    throw new Error(`world ${generation} was not entered`);
  };
  const dispatch = (message: ToCompute): void => {
    switch (message.kind) {
      case 'prepare':
        return void load(message).catch(fail);
      case 'enter':
        return enter(message);
      case 'train':
        return requireWorld(message.generation).train(message.until);
      case 'finish':
        return requireWorld(message.generation).finish(message);
      case 'abort':
        return requireWorld(message.generation).abort(message.reason);
      case 'voteStop':
        return world?.voteStop();
      case 'gathered':
      case 'reduced':
        return world?.onExchanged(message.step, message.kind);
      case 'stateHeader':
      case 'stateChunk':
      case 'stateFailed':
        return run?.local.onFetched(message);
      case 'serveState':
      case 'serveMore':
        if (run !== undefined) return void run.local.onPeer(message).catch(fail);
        return send({ kind: 'serveRefused', request: message.request, reason: 'it has no state' });
      case 'record':
        return recorder.onOrder(message);
      case 'flip':
        return run?.local.askForFlip();
      // The rest is the process's own business.
      case 'trap':
      case 'end':
        return;
    }
  };
  return {
    onMessage: (message) => {
      try {
        dispatch(message);
      } catch (error) {
        fail(error);
      }
    },
    close: async () => {
      await world?.leave();
      await (await preparing?.catch(() => undefined))?.close();
    },
  };
}
