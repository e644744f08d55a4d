// How work ends other than well: it is given up with its world, or an error ends the worker.

import { setImmediate } from 'node:timers/promises';
import { exitCodes } from '../../shared/exit-codes.js';
import { messageOf, OperatorError } from '../../shared/problems.js';
import { SampleError } from '../data/sample-reader.js';
import type { ToNetwork } from '../network/ports.js';

/** The work under way was given up: no failure of this worker. The reason of all abort signals. */
export class Aborted extends Error {
  constructor(reason: string) {
    super(reason);
    this.name = 'Aborted';
  }
}

/** The result of `work`, or a rejection once the signal is aborted; `work` may still go on. */
export function orAborted<T>(signal: AbortSignal, work: Promise<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    const giveUp = (): void => reject(signal.reason as Aborted);
    signal.addEventListener('abort', giveUp);
    work.then(resolve, reject).finally(() => signal.removeEventListener('abort', giveUp));
    if (signal.aborted) giveUp();
  });
}

/** Lets other messages in; rejects when one of them aborted the signal. */
export function letMessagesIn(signal: AbortSignal): Promise<void> {
  return orAborted(signal, setImmediate());
}

/** The message about an error that ends the worker. */
export function failedMessage(error: unknown): ToNetwork {
  const isMistake = error instanceof OperatorError;
  const exitCode = isMistake ? exitCodes.configuration : exitCodes.failed;
  // A worker started anew may read it right: the coordinator counts such failures.
  const sample = error instanceof SampleError && error.isSpoiled ? error.place.key : '';
  return { kind: 'failed', reason: messageOf(error), exitCode, sample };
}
