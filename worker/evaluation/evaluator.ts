// The evaluator: takes a snapshot of the generator and answers later, from a thread of its own.
// Whatever goes wrong there is a reason in an answer; training goes on.

import { Worker } from 'node:worker_threads';
import type { EvaluationReport } from '../../shared/control/messages.js';
import type { RunSpec } from '../../shared/spec/schema.js';
import type { CloneableStoreOptions } from '../../shared/store/open-store.js';
import type { Step } from '../../shared/words.js';

/** What the evaluation thread is started with. */
export interface EvaluationSetup {
  readonly spec: RunSpec;
  /** Folder of the run; sample pictures go there. */
  readonly runUrl: string;
  /** For the stores of the run and of its dataset. */
  readonly storeOptions: CloneableStoreOptions;
  /** Compute threads of the evaluation. */
  readonly threads: number;
}

/** A generator to evaluate: flat parameters and statistics, in the task's own layouts. */
export interface EvaluationRequest {
  readonly step: Step;
  readonly parameters: Float32Array;
  readonly statistics: Float32Array;
  /** The run's last evaluation, which is never skipped. */
  readonly isLast: boolean;
}

/** How a request ended; the report has the means over the test faces. */
export type EvaluationOutcome =
  | { readonly kind: 'evaluated'; readonly step: Step; readonly report: EvaluationReport }
  | { readonly kind: 'skipped'; readonly step: Step }
  | { readonly kind: 'failed'; readonly step: Step; readonly reason: string };

interface Evaluator {
  /**
   * Copies the arrays before it returns, so training may go on at once. Never rejects. A request
   * that waits is skipped when a newer one comes, unless it is the run's last.
   */
  evaluate(request: EvaluationRequest): Promise<EvaluationOutcome>;
  /** Ends the thread; what has not been answered is answered as failed. */
  close(): Promise<void>;
}

/** Longest time for one evaluation; a thread that takes longer is ended. */
const defaultTimeoutMs = 600_000;

/** Starts the evaluation thread, which reads the test faces at once. */
export function createEvaluator(setup: EvaluationSetup): Evaluator {
  const thread = new Worker(new URL('./evaluator-thread.js', import.meta.url), {
    workerData: setup,
  });
  return superviseThread(thread, defaultTimeoutMs);
}

/** The part of a worker thread that is used here. */
type EvaluationThread = Pick<Worker, 'on' | 'postMessage' | 'terminate'>;

interface Pending extends EvaluationRequest {
  readonly answer: (outcome: EvaluationOutcome) => void;
}

/**
 * An evaluator over a thread that answers each request with one outcome, in order. Training is
 * faster than evaluation may be: one request is with the thread, and one waits at most.
 */
export function superviseThread(thread: EvaluationThread, timeoutMs: number): Evaluator {
  let running: Pending | undefined;
  let waiting: Pending | undefined;
  let lost: string | undefined;
  let timer: NodeJS.Timeout | undefined;

  const offer = (request: Pending): void => {
    if (running === undefined) return start(request);
    const isKept = waiting?.isLast === true && !request.isLast;
    const skipped = isKept ? request : waiting;
    if (!isKept) waiting = request;
    skipped?.answer({ kind: 'skipped', step: skipped.step });
  };
  const start = (request: Pending): void => {
    running = request;
    timer = setTimeout(() => lose(`took longer than ${timeoutMs} ms`), timeoutMs);
    const { step, parameters, statistics, isLast } = request;
    const transfer = [parameters.buffer, statistics.buffer] as ArrayBuffer[];
    thread.postMessage({ step, parameters, statistics, isLast }, transfer);
  };
  const lose = (reason: string): void => {
    if (lost !== undefined) return;
    lost = reason;
    clearTimeout(timer);
    for (const pending of [running, waiting]) pending?.answer(failed(pending.step, reason));
    running = waiting = undefined;
    void thread.terminate();
  };

  thread.on('message', (outcome: EvaluationOutcome) => {
    clearTimeout(timer);
    running?.answer(outcome);
    const next = waiting;
    running = waiting = undefined;
    if (lost === undefined && next !== undefined) start(next);
  });
  thread.on('error', (error: Error) => lose(error.message));
  thread.on('exit', (code: number) => lose(`the evaluation thread ended with code ${code}`));

  return {
    evaluate: async (request) => {
      if (lost !== undefined) return failed(request.step, lost);
      const parameters = request.parameters.slice();
      const statistics = request.statistics.slice();
      return await new Promise((answer) => offer({ ...request, parameters, statistics, answer }));
    },
    close: async () => {
      lose('the evaluator was closed');
      await thread.terminate();
    },
  };
}

function failed(step: Step, reason: string): EvaluationOutcome {
  return { kind: 'failed', step, reason };
}
