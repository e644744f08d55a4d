// The evaluator as the trainer sees it: it takes a snapshot of the generator and answers later,
// from a thread of its own. Nothing that goes wrong there reaches the training but as a reason.

import { Worker } from 'node:worker_threads';
import type { Step } from '../../shared/words.js';
import type { EvaluationOutcome, EvaluationRequest, EvaluationSetup } from './messages.js';
import { emptyQueue, finish, offer, type QueueChange } from './queue.js';

export interface Evaluator {
  /**
   * Copies the arrays before it returns, so training may go on at once. Never rejects. A request
   * that waits is skipped when a newer one comes, unless it is the run's last.
   */
  evaluate(request: EvaluationRequest): Promise<EvaluationOutcome>;
  /** Ends the thread; what has not been answered is answered as failed. */
  close(): Promise<void>;
}

export interface EvaluatorOptions extends EvaluationSetup {
  /** Longest time for one evaluation; a thread that takes longer is ended. */
  readonly timeoutMs?: number;
}

const defaultTimeoutMs = 600_000;

interface Pending extends EvaluationRequest {
  readonly answer: (outcome: EvaluationOutcome) => void;
}

/** Starts the evaluation thread, which reads the test faces at once. */
export function createEvaluator(options: EvaluatorOptions): Evaluator {
  const { timeoutMs = defaultTimeoutMs, ...setup } = options;
  const thread = new Worker(new URL('./thread.js', import.meta.url), { workerData: setup });
  return superviseThread(thread, timeoutMs);
}

/** The part of a worker thread that is used here. */
export type EvaluationThread = Pick<Worker, 'on' | 'postMessage' | 'terminate'>;

/** An evaluator over a thread that answers each request with one outcome, in order. */
export function superviseThread(thread: EvaluationThread, timeoutMs: number): Evaluator {
  let queue = emptyQueue<Pending>();
  let lost: string | undefined;
  let timer: NodeJS.Timeout | undefined;

  const apply = (change: QueueChange<Pending>): void => {
    queue = change.queue;
    change.skipped?.answer({ kind: 'skipped', step: change.skipped.step });
    if (change.start !== undefined) start(change.start);
  };
  const start = ({ step, parameters, statistics, isLast }: Pending): void => {
    timer = setTimeout(() => lose(`took longer than ${timeoutMs} ms`), timeoutMs);
    const transfer = [parameters.buffer, statistics.buffer] as ArrayBuffer[];
    thread.postMessage({ step, parameters, statistics, isLast }, transfer);
  };
  const lose = (reason: string): void => {
    if (lost !== undefined) return;
    lost = reason;
    clearTimeout(timer);
    for (const pending of [queue.running, queue.waiting])
      pending?.answer(failed(pending.step, reason));
    queue = emptyQueue();
    void thread.terminate();
  };

  thread.on('message', (outcome: EvaluationOutcome) => {
    clearTimeout(timer);
    queue.running?.answer(outcome);
    if (lost === undefined) apply(finish(queue));
  });
  thread.on('error', (error: Error) => lose(error.message));
  thread.on('exit', (code: number) => lose(`the evaluation thread ended with code ${code}`));

  return {
    evaluate: async (request) => {
      if (lost !== undefined) return failed(request.step, lost);
      const parameters = request.parameters.slice();
      const statistics = request.statistics.slice();
      return await new Promise((answer) => {
        apply(offer(queue, { ...request, parameters, statistics, answer }));
      });
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
