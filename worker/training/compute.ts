// The compute thread's side of a worker: does what the network thread's decisions ask for (load
// the run, live through its worlds, serve the state to peers) and tells what came of it.

import type { Generation } from '../../shared/words.js';
import type { ToCompute } from '../network/ports.js';
import { failureOf } from './failure.js';
import { flipBit } from './own-state.js';
import type { PreparedRun } from './prepare.js';
import type { Prepare, SendToNetwork } from './prepare-request.js';
import { createStateServer, type ServeMessage, type StateServer } from './state-server.js';
import { createStateTaking, type Enter, type StateTaking } from './take-state.js';
import { createWorld, type World } from './world.js';

export interface ComputeOptions {
  readonly send: SendToNetwork;
  readonly prepare: (request: Prepare) => Promise<PreparedRun>;
}

export interface Compute {
  /** Takes a message of the network thread; `end` and `trap` are the caller's own business. */
  onMessage(message: ToCompute): void;
  close(): Promise<void>;
}

/** What is there once the run is loaded. */
interface Loaded {
  readonly run: PreparedRun;
  readonly server: StateServer;
  readonly taking: StateTaking;
}

/** Creates the compute side of one worker. */
export function createCompute({ send, prepare }: ComputeOptions): Compute {
  let preparing: Promise<PreparedRun> | undefined;
  let loaded: Loaded | undefined;
  let world: World | undefined;
  const fail = (error: unknown): void => send(failureOf(error));

  const load = async (request: Prepare): Promise<void> => {
    if (preparing !== undefined) throw new Error('a run is prepared once');
    preparing = prepare(request);
    loaded = createLoaded(await preparing, send);
    send({ kind: 'ready', fingerprint: loaded.run.fingerprint });
  };
  const enter = (order: Enter): void => {
    if (loaded === undefined) throw new Error('a world before the run is loaded');
    const previous = world?.leave() ?? Promise.resolve();
    world = createWorld({ ...loaded, order, previous, send, fail });
    world.enter();
  };
  const requireWorld = (generation: Generation): World => {
    if (world?.generation === generation) return world;
    throw new Error(`world ${generation} was not entered`);
  };
  const serve = (message: ServeMessage): void => {
    if (loaded !== undefined) return loaded.server.onMessage(message);
    send({ kind: 'serveRefused', request: message.request, reason: 'it has no state' });
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
      case 'reduced':
        return world?.reduced(message.step);
      case 'stateHeader':
      case 'stateChunk':
      case 'stateFailed':
        return loaded?.taking.onMessage(message);
      case 'serveState':
      case 'serveMore':
        return serve(message);
      case 'flip':
        return loaded && flipBit(loaded.run.own);
      // The rest is the process's own business.
      case 'trap':
      case 'end':
        return;
    }
  };
  return {
    onMessage: orFail(dispatch, fail),
    close: async () => {
      await world?.leave();
      const run = await preparing?.catch(() => undefined);
      await run?.close();
    },
  };
}

function orFail<T>(work: (given: T) => void, fail: (error: unknown) => void): (given: T) => void {
  return (given) => {
    try {
      work(given);
    } catch (error) {
      fail(error);
    }
  };
}

function createLoaded(run: PreparedRun, send: SendToNetwork): Loaded {
  const server = createStateServer(run.own, send);
  const aroundChange = (change: () => void): void => {
    server.pause();
    change();
    server.resume();
  };
  return { run, server, taking: createStateTaking(run, aroundChange, send) };
}
