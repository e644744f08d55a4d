// One world, as the compute thread lives it: take the state, train, perhaps store and judge the
// last state. One thing at a time; giving up is possible at any, and is told exactly once.

import { OperatorError } from '../../shared/problems.js';
import type { Generation, Step } from '../../shared/words.js';
import type { ToCompute } from '../network/ports.js';
import { Aborted, createCancellation } from './cancellation.js';
import type { PreparedRun } from './prepare.js';
import type { SendToNetwork } from './prepare-request.js';
import type { StateServer } from './state-server.js';
import { StateMissing, type Enter, type StateTaking } from './take-state.js';
import { troubleOf } from './update.js';
import { createWorldTraining } from './world-training.js';

export type Finish = ToCompute & { readonly kind: 'finish' };

export interface World {
  readonly generation: Generation;
  /** Answers with entered or enterFailed. */
  enter(): void;
  /** Answers with halted. */
  train(until: Step): void;
  /** Answers with finished, once for the share that was asked for last. */
  finish(message: Finish): void;
  /** Gives up what is under way. Answers with halted, unless that was the last thing told. */
  abort(reason: string): void;
  /** Gives up without an answer; resolves when nothing is under way any more. */
  leave(): Promise<void>;
  voteStop(): void;
  reduced(step: Step): void;
}

export interface WorldOptions {
  readonly order: Enter;
  readonly run: PreparedRun;
  readonly taking: StateTaking;
  readonly server: StateServer;
  readonly send: SendToNetwork;
  /** Something went wrong that ends the worker. */
  readonly fail: (error: unknown) => void;
  /** The world before is left. */
  readonly previous: Promise<void>;
}

/** Creates a world that is not entered yet. */
export function createWorld(options: WorldOptions): World {
  const { order, run, taking, server, send, fail } = options;
  const { generation } = order;
  const { state } = run.own;
  const training = createWorldTraining(run, order, send);
  let cancellation = createCancellation();
  let underWay = options.previous;
  // Nothing follows what was told last, unless something else is asked for.
  let isTold = false;
  let asked: Finish | undefined;
  let isFinished = false;

  const begin = (work: () => Promise<void>): void => {
    isTold = false;
    underWay = underWay
      .then(() => (cancellation.isCancelled ? undefined : work()))
      .catch((error: unknown) => {
        if (!(error instanceof Aborted)) fail(error);
      });
  };
  const tell = (trouble: string): void => {
    if (isTold) return;
    isTold = true;
    training.tellLast();
    const { hasState } = run.own;
    send({ kind: 'halted', generation, step: state.step, hasState, trouble });
  };
  return {
    generation,
    enter: () =>
      begin(async () => {
        const failure = await taking.take(order, cancellation).catch(reasonToStayOut);
        if (failure !== undefined) send({ kind: 'enterFailed', generation, reason: failure });
        else send({ kind: 'entered', generation, vectors: training.vectors });
      }),
    train: (until) =>
      begin(async () => {
        server.pause();
        await training.train(until, cancellation).finally(server.resume);
        tell(troubleOf(state));
      }),
    finish: (message) => {
      const isRepeated = asked?.share === message.share && asked.shares === message.shares;
      if (isRepeated && !isFinished) return;
      asked = message;
      isFinished = false;
      if (cancellation.isCancelled) cancellation = createCancellation();
      begin(async () => {
        await training.finish(message, cancellation);
        if (asked !== message) return;
        isFinished = true;
        send({ kind: 'finished', generation, step: state.step });
      });
    },
    abort: (reason) => {
      asked = undefined;
      cancellation.cancel(reason);
      void underWay.then(() => tell(''));
    },
    leave: async () => {
      isTold = true;
      cancellation.cancel('another world is entered');
      await underWay;
    },
    voteStop: training.voteStop,
    reduced: training.reduced,
  };
}

/** Why the state can't be had, which is no fault of this worker; throws what is one. */
function reasonToStayOut(error: unknown): string {
  const isFault =
    error instanceof Aborted || error instanceof OperatorError || error instanceof StateMissing;
  if (isFault || !(error instanceof Error)) throw error;
  return error.message;
}
