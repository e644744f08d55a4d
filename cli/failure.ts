// How a command ends that did not do what it was asked: a message, what to do about it, and the
// exit code.

import { exitCodes, type ExitCode } from '../shared/exit-codes.js';
import { systemFault } from '../shared/local-files.js';
import { StoreUnavailable } from '../shared/store/store.js';
import { OperatorError, maskSecrets, messageOf } from '../shared/problems.js';

/** Thrown by a command that ends with an exit code of its own, for example "stopped". */
export class CommandFailed extends Error {
  constructor(
    message: string,
    readonly exitCode: ExitCode,
    readonly hint?: string,
  ) {
    super(message);
    this.name = 'CommandFailed';
  }
}

/** Thrown for a command line that yargs refuses. */
export class UsageError extends Error {
  override readonly name = 'UsageError';
}

/** What the process says and ends with. */
export interface CommandEnding {
  readonly exitCode: ExitCode;
  /** Lines for stderr, secrets masked. */
  readonly lines: readonly string[];
}

/** The ending of a command that threw `error`; `command` is the word it was called by, if any. */
export function endingOf(error: unknown, isVerbose: boolean, command?: string): CommandEnding {
  const stack = isVerbose && error instanceof Error ? [error.stack ?? ''] : [];
  const { exitCode, lines } = linesOf(error, command);
  return { exitCode, lines: [...lines, ...stack].map(maskSecrets) };
}

function linesOf(error: unknown, command: string | undefined): CommandEnding {
  const message = messageOf(error);
  if (error instanceof UsageError) {
    const help = ['lockstep', ...(command === undefined ? [] : [command]), '--help'].join(' ');
    return { exitCode: exitCodes.configuration, lines: [`lockstep: ${message}`, `See: ${help}`] };
  }
  if (error instanceof OperatorError)
    return { exitCode: error.exitCode, lines: [`lockstep: ${message}`] };
  if (error instanceof CommandFailed) {
    const hint = error.hint === undefined ? [] : [error.hint];
    return { exitCode: error.exitCode, lines: [`lockstep: ${message}`, ...hint] };
  }
  const fault = systemFault(error);
  if (fault !== undefined) {
    const exitCode = fault.isMistake ? exitCodes.configuration : exitCodes.failed;
    return { exitCode, lines: [`lockstep: ${fault.text}`] };
  }
  if (error instanceof StoreUnavailable)
    return { exitCode: exitCodes.failed, lines: [`lockstep: ${message}`] };
  const hint = 'Run the command again with --verbose to see where it comes from.';
  return { exitCode: exitCodes.failed, lines: [`lockstep: ${oneLine(message)}`, hint] };
}

function oneLine(message: string): string {
  return message.split('\n', 1)[0] ?? message;
}
