// How a local run ended, told from the coordinator's lines and from how the processes left: so
// that a script reads a last line even if there is no coordinator any more to print it.

import { exitCodes } from '../../shared/exit-codes.js';
import { how, type Departure } from './restart-policy.js';
import type { RunLine } from './run-view.js';

export interface RunResult {
  readonly exitCode: number;
  /** The last line; undefined when the run was never opened, and the reason is on stderr. */
  readonly line: RunLine | undefined;
}

/** The coordinator's lines that the result is made of. */
export interface RunFacts {
  readonly run?: RunLine;
  readonly step?: RunLine;
  readonly checkpoint?: RunLine;
  /** The coordinator's own last line. */
  readonly result?: RunLine;
}

/** Notes a line of the coordinator. */
export function noteLine(facts: RunFacts, line: RunLine): RunFacts {
  const { kind } = line;
  if (kind === 'run' || kind === 'step' || kind === 'checkpoint') return { ...facts, [kind]: line };
  return isResult(line) ? { ...facts, result: line } : facts;
}

/** Whether it is the last line of a coordinator. */
export function isResult({ kind }: RunLine): boolean {
  return kind === 'finished' || kind === 'stopped' || kind === 'failed';
}

/** Why we had a run ended ourselves. */
export interface EarlyEnd {
  readonly exitCode: number;
  readonly reason: string;
}

/**
 * The result of a run on `world` workers. `early` says which worker was lost for good, upon which
 * the coordinator was told to stop; `isStopAsked` that the operator asked for it.
 */
export function runResult(
  facts: RunFacts,
  coordinator: Departure,
  world: number,
  isStopAsked: boolean,
  early?: EarlyEnd,
): RunResult {
  const { result } = facts;
  const isOurStop = early !== undefined && !isStopAsked && coordinator.code === exitCodes.stopped;
  if (isOurStop) return failure(facts, world, early.exitCode, early.reason);
  if (result !== undefined) {
    // Its own word counts also if it had to be ended after that.
    const told = Number(result['exit_code'] ?? exitCodes.failed);
    return { exitCode: coordinator.code ?? told, line: result };
  }
  // Stopped before it could listen to signals: there is nothing yet to go on with.
  if (isStopAsked && facts.run === undefined && coordinator.signal !== null)
    return { exitCode: exitCodes.stopped, line: undefined };
  const exitCode = coordinator.code === null ? exitCodes.failed : coordinator.code;
  const reason =
    exitCode === exitCodes.superseded
      ? 'another coordinator has taken the run over'
      : `the coordinator ${how(coordinator)}`;
  return failure(facts, world, exitCode || exitCodes.failed, reason);
}

function failure(facts: RunFacts, world: number, exitCode: number, reason: string): RunResult {
  const { run, step, checkpoint, result } = facts;
  if (run === undefined) return { exitCode, line: undefined };
  const line = {
    kind: 'failed',
    ...{ run: run['run'], url: run['url'] },
    step: (checkpoint ?? run)['step'],
    sha256: checkpoint?.['sha256'] ?? result?.['sha256'] ?? '',
    world,
    images_per_s: step?.['images_per_s'] ?? 0,
    reason,
    exit_code: exitCode,
  };
  return { exitCode, line };
}
