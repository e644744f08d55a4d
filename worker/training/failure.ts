// How the compute thread says that this worker can't go on.

import { exitCodes } from '../../shared/exit-codes.js';
import { OperatorError } from '../../shared/problems.js';
import type { ToNetwork } from '../network/ports.js';

/** The message about an error that ends the worker. */
export function failureOf(error: unknown): ToNetwork {
  const reason = error instanceof Error ? error.message : String(error);
  const isMistake = error instanceof OperatorError;
  const exitCode = isMistake ? exitCodes.configuration : exitCodes.failed;
  return { kind: 'failed', reason, exitCode };
}
