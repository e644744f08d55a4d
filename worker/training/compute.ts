// The compute thread's side of a worker: does what the network thread's decisions ask for
// (prepare, train, give up, store) and tells what came of it.

import { exitCodes } from '../../shared/exit-codes.js';
import { isDue } from '../../shared/plan/schedule.js';
import { OperatorError } from '../../shared/problems.js';
import type { Rank } from '../../shared/words.js';
import type { ToCompute, ToNetwork } from '../network/ports.js';
import { createReductions, Aborted } from './reductions.js';
import type { Prepared } from './prepare.js';
import type { Prepare } from './prepare-request.js';
import { train, type CommittedStep, type TrainerPorts } from './trainer.js';

export interface ComputeOptions {
  /** Tells the network thread. */
  readonly send: (message: ToNetwork) => void;
  readonly prepare: (request: Prepare) => Promise<Prepared>;
}

export interface Compute {
  /** Takes a message of the network thread; `end` is the caller's own business. */
  onMessage(message: ToCompute): void;
  close(): Promise<void>;
}

/** Creates the compute side of one worker. */
export function createCompute({ send, prepare }: ComputeOptions): Compute {
  const reductions = createReductions(send);
  let request: Prepare | undefined;
  let prepared: Promise<Prepared> | undefined;
  let votesToStop = false;

  const guarded = (work: () => Promise<void>): void => {
    work().catch((error: unknown) => {
      if (!(error instanceof Aborted)) send({ kind: 'failed', ...describe(error) });
    });
  };
  const start = async (asked: Prepare): Promise<void> => {
    request = asked;
    prepared = prepare(asked);
    const { spec, contributions, results } = await prepared;
    send({ kind: 'prepared', microShards: spec.batch.microShards, contributions, results });
  };
  const run = async (): Promise<void> => {
    if (prepared === undefined || request === undefined) throw new Error('train before prepare');
    const ready = await prepared;
    const { rank, worldSize, until } = request;
    const ports: TrainerPorts = {
      allReduce: async (step, floats) => {
        await reductions.reduce(step, floats);
        return ready.results[step % 2];
      },
      onActivity: (step, activity) => send({ kind: 'activity', step, activity }),
      onCommitted: async (committed) => {
        if (rank === 0) send({ kind: 'tell', message: stepReport(committed) });
        if (!committed.isLast) await keepUp(ready, rank, worldSize);
      },
      votesToStop: () => votesToStop,
    };
    await train({ ...ready, rank, worldSize, until, ports }).catch((error: unknown) => {
      if (error instanceof Aborted) send({ kind: 'halted', step: ready.state.step });
      throw error;
    });
    await finish(ready, rank, worldSize);
    send({ kind: 'halted', step: ready.state.step });
  };

  return {
    onMessage: (message) => {
      switch (message.kind) {
        case 'prepare':
          return guarded(() => start(message));
        case 'train':
          return guarded(run);
        case 'reduced':
          return reductions.reduced(message.step);
        case 'voteStop':
          votesToStop = true;
          return;
        case 'abort':
          return reductions.abort(message.reason);
        case 'save':
          return guarded(async () => {
            const { saver } = (await prepared) ?? fail('save before prepare');
            await saver.save(message.share, message.shares);
          });
        case 'end':
          return;
      }
    },
    close: async () => {
      const ready = await prepared?.catch(() => undefined);
      await ready?.close();
    },
  };
}

/** After a step: what the spec's schedule asks for, and a moment for others. */
async function keepUp(ready: Prepared, rank: Rank, worldSize: number): Promise<void> {
  const { spec, state, saver, evaluation } = ready;
  if (isDue(spec.checkpoint.everySteps, state.step)) await saver.save(rank, worldSize);
  if (isDue(spec.evaluation.everySteps, state.step)) evaluation?.evaluate(false);
  // Lets the network thread's messages in: a vote to stop, an abort.
  await new Promise((resolve) => setImmediate(resolve));
}

/** The last state is stored and judged, whatever the schedule says. */
async function finish(ready: Prepared, rank: Rank, worldSize: number): Promise<void> {
  const { saver, evaluation } = ready;
  evaluation?.evaluate(true);
  await saver.save(rank, worldSize);
  await saver.drain();
  await evaluation?.drain();
}

function fail(reason: string): never {
  throw new Error(reason);
}

function describe(error: unknown): { reason: string; exitCode: number } {
  const reason = error instanceof Error ? error.message : String(error);
  const isMistake = error instanceof OperatorError;
  return { reason, exitCode: isMistake ? exitCodes.configuration : exitCodes.failed };
}

function stepReport({ step, phase, metrics, seconds }: CommittedStep) {
  return {
    kind: 'stepReport',
    step,
    phase,
    metrics: Object.entries(metrics).map(([name, value]) => ({ name, value })),
    dataS: seconds.data,
    computeS: seconds.compute + seconds.compile,
    exchangeS: seconds.exchange,
    updateS: seconds.update,
  } as const;
}
