// One world, as the compute thread lives it: take the state, train, perhaps store and evaluate the
// last state. One thing at a time; giving up is possible at any, and is answered exactly once.

import { createRollingDigest, type RollingDigest } from '../../shared/checkpoint/digests.js';
import { floatsOfState } from '../../shared/checkpoint/state.js';
import type { StepReport, WorkerMessage } from '../../shared/control/messages.js';
import type { Generation, Step } from '../../shared/words.js';
import type { ToCompute, WorldVectors } from '../network/ports.js';
import { phaseAt } from '../../shared/spec/schema.js';
import type { StepRecorder, StepSpans } from '../step-trace/step-recorder.js';
import { createCheckpoints, type Checkpoints } from './checkpoints.js';
import { Aborted, orAborted } from './failure.js';
import { leavesOfRank, subtreesOfRank, train, type LoopWorld } from './loop.js';
import type { PreparedRun, SendToNetwork } from './prepare.js';
import type { EnterOrder } from './state.js';
import { createStepVectors } from './step-vectors.js';
import { troubleOf } from './update.js';

type FinishOrder = ToCompute & { readonly kind: 'finish' };

/** Steps between two digests that are reported; every step goes into them. */
const digestEverySteps = 8;

/** What comes of a step's exchange, one after the other. */
type Milestone = 'gathered' | 'reduced';

/** The exchange of a step, and how far it has come. */
interface Exchanging {
  readonly step: Step;
  readonly reached: Readonly<Record<Milestone, Promise<void>>>;
  readonly resolve: Readonly<Record<Milestone, () => void>>;
}

function exchanging(step: Step): Exchanging {
  const resolve = { gathered: (): void => undefined, reduced: (): void => undefined };
  const until = (milestone: Milestone): Promise<void> =>
    new Promise((done) => (resolve[milestone] = done));
  return { step, reached: { gathered: until('gathered'), reduced: until('reduced') }, resolve };
}

/** A worker's life in one world, from entering it to leaving it. */
export class WorldTraining {
  readonly generation: Generation;
  readonly #vectors: WorldVectors;
  readonly #checkpoints: Checkpoints;
  /** Of the state that all workers of the world have alike: finds out those that came apart. */
  readonly #digest: RollingDigest;
  #abort = new AbortController();
  /** What is under way, after what was before. */
  #underWay: Promise<void>;
  /** Nothing follows a `halted` unless something else is asked for. */
  #isHalted = false;
  #votesToStop = false;
  /** The exchange under way. */
  #exchange: Exchanging | undefined;
  #lastReport: StepReport | undefined;
  /** Of the step under way, while it is traced. */
  #spans: StepSpans | undefined;
  /** The share that was asked for last, and whether it is stored. */
  #finish: FinishOrder | undefined;
  #isFinished = false;

  /** `previous` resolves when the world before is left; `fail` gets what ends the worker. */
  constructor(
    private readonly run: PreparedRun,
    private readonly order: EnterOrder,
    previous: Promise<void>,
    private readonly send: SendToNetwork,
    private readonly recorder: StepRecorder,
    private readonly fail: (error: unknown) => void,
  ) {
    const subtrees = subtreesOfRank(run.spec, order.rank, order.worldSize).length;
    this.generation = order.generation;
    this.#vectors = run.takeVectors(subtrees, order.worldSize);
    this.#checkpoints = createCheckpoints(run, order, send);
    const { networks, engineState } = run.local;
    this.#digest = createRollingDigest(floatsOfState(networks), (start, end) =>
      engineState.readRange(start, end),
    );
    this.#underWay = previous;
  }

  /** Takes the state of the first step. Answers with entered or enterFailed. */
  enter(): void {
    const { generation, order, run } = this;
    this.#begin(async (signal) => {
      // Pictures are decoded while the state comes and peers connect.
      const { rank, worldSize, step } = order;
      run.loader.start(step, leavesOfRank(run.spec, rank, worldSize));
      const reason = await run.local.take(order, signal);
      if (reason !== undefined) this.send({ kind: 'enterFailed', generation, reason });
      else this.send({ kind: 'entered', generation, vectors: this.#vectors });
    });
  }

  /** Trains until `until` is committed, or no step may follow. Answers with halted. */
  train(until: Step): void {
    const { run } = this;
    this.#begin(async (signal) => {
      try {
        await run.local.whileChanging(() => train(run, this.#loopWorld(until, signal), until));
      } finally {
        this.#checkpoints.halted();
      }
      await this.#checkpoints.copied(signal);
      this.#sendHalted(troubleOf(run.local.counters));
    });
  }

  /** Stores and evaluates the state. Answers with finished, once for the last share asked for. */
  finish(order: FinishOrder): void {
    const { local } = this.run;
    const isRepeated = this.#finish?.share === order.share && this.#finish.shares === order.shares;
    if (isRepeated && !this.#isFinished) return;
    this.#finish = order;
    this.#isFinished = false;
    if (this.#abort.signal.aborted) this.#abort = new AbortController();
    this.#begin(async (signal) => {
      const { step, share, shares } = order;
      const { step: own } = local.counters;
      if (own !== step) throw new Error(`to finish step ${step} at step ${own}`);
      await this.#checkpoints.finish(share, shares, signal);
      if (this.#finish !== order) return;
      this.#isFinished = true;
      this.send({ kind: 'finished', generation: this.generation, step });
    });
  }

  /** Gives up what is under way. Answers with halted, unless that was the last answer. */
  abort(reason: string): void {
    this.#finish = undefined;
    this.#abort.abort(new Aborted(reason));
    void this.#underWay.then(() => this.#sendHalted(''));
  }

  /** Gives up without an answer; resolves when nothing is under way any more. */
  async leave(): Promise<void> {
    this.#isHalted = true;
    this.#abort.abort(new Aborted('another world is entered'));
    await this.#underWay;
  }

  voteStop(): void {
    this.#votesToStop = true;
  }

  /** The exchange of `step` has come so far; dropped when it is not under way. */
  onExchanged(step: Step, milestone: Milestone): void {
    if (this.#exchange?.step === step) this.#exchange.resolve[milestone]();
  }

  #begin(work: (signal: AbortSignal) => Promise<void>): void {
    this.#isHalted = false;
    this.#underWay = this.#underWay
      .then(() => {
        const { signal } = this.#abort;
        return signal.aborted ? undefined : work(signal);
      })
      .catch((error: unknown) => {
        if (!(error instanceof Aborted)) this.fail(error);
      });
  }

  #loopWorld(until: Step, signal: AbortSignal): LoopWorld {
    const { order, send } = this;
    return {
      rank: order.rank,
      worldSize: order.worldSize,
      vectors: createStepVectors(this.run.workspace, this.#vectors),
      signal,
      votesToStop: () => this.#votesToStop,
      recordStep: (step) => {
        this.#spans = this.recorder.isOn ? this.#recordStep(step) : undefined;
        return this.#spans;
      },
      onActivity: (step, activity) => send({ kind: 'activity', step, activity }),
      begin: (step, shape) => {
        this.#exchange = exchanging(step);
        send({ kind: 'begin', step, shape });
      },
      publish: (step, leaf) => send({ kind: 'publish', step, leaf }),
      contribute: (step, index) => send({ kind: 'contribute', step, index }),
      gathered: () => orAborted(signal, this.#exchange!.reached.gathered),
      reduced: async () => {
        await orAborted(signal, this.#exchange!.reached.reduced);
        this.#exchange = undefined;
      },
      onCommitted: async (report) => {
        await this.run.local.flipIfAsked();
        this.#spans?.turn('report');
        await this.#report(report);
        this.#spans?.turn('checkpoint');
        await this.#checkpoints.afterCommit(until, signal);
        this.#spans?.end();
      },
    };
  }

  #recordStep(step: Step): StepSpans | undefined {
    const { generation, rank } = this.order;
    const { run } = this.run;
    const phase = phaseAt(this.run.spec, step).name;
    return this.recorder.begin({ run, generation, rank, step, phase });
  }

  /** Reports a commit: its seconds, by rank 0 its metrics, and now and then the digest. */
  async #report(report: StepReport): Promise<void> {
    const { generation } = this;
    const { step, dataS, computeS, exchangeS, updateS } = report;
    this.#lastReport = report;
    this.send({ kind: 'paced', dataS, computeS, exchangeS, updateS });
    if (this.order.rank === 0) this.#toCoordinator(report);
    const value = await this.#digest.advance(step);
    if (step % digestEverySteps === 0)
      this.#toCoordinator({ kind: 'digest', generation, step, value, isWhole: false });
  }

  #sendHalted(trouble: string): void {
    if (this.#isHalted) return;
    this.#isHalted = true;
    this.recorder.halt();
    // By all ranks: rank 0 may have been lost before it could report the last step.
    if (this.#lastReport !== undefined) this.#toCoordinator(this.#lastReport);
    const { counters, hasState } = this.run.local;
    const { generation } = this;
    this.send({ kind: 'halted', generation, step: counters.step, hasState, trouble });
  }

  #toCoordinator(message: WorkerMessage): void {
    this.send({ kind: 'tell', message });
  }
}
