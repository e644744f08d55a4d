// The second half of `lockstep launch` and `lockstep resume`: says what was done, then waits for
// the end of the run, unless asked not to, and says how it ended.

import { readEnvironment } from '../../shared/environment.js';
import { exitCodes } from '../../shared/exit-codes.js';
import { stopOnSignals } from '../processes.js';
import { CommandFailed } from '../failure.js';
import { printJson, printLine, printNote } from '../output.js';
import { progressMode } from '../progress.js';
import type { ClusterClient } from './client/cluster-client.js';
import { createFollowView, followRun } from './follow-run.js';
import type { Launched } from './launch-run.js';
import { formatClusterRun } from './names.js';
import { resultOf } from './run-result.js';
import { failedExitCode, type RunStage } from './run-stage.js';

export interface WaitOptions {
  readonly detach: boolean;
  readonly json: boolean;
}

const words: Readonly<Record<Launched['action'], string>> = {
  created: 'is launched',
  resumed: 'goes on from its newest checkpoint',
  running: 'was launched before and goes on',
  finished: 'has finished before',
};

/** Tells what a launch came to; waits for the end of the run. */
export async function waitForRun(
  client: ClusterClient,
  { action, parameters }: Launched,
  { detach, json }: WaitOptions,
): Promise<void> {
  const run = formatClusterRun(parameters);
  const { workers, runUrl: url } = parameters;
  if (json) printJson({ kind: 'launched', run, url, action, workers });
  else printNote(`${run} ${words[action]}, with ${workers} workers, in ${url}`);
  if (detach) return json ? undefined : printLine(run);
  const stop = stopOnSignals(() => undefined);
  const { isPlain } = readEnvironment();
  const view = createFollowView(progressMode(json, isPlain), printNote);
  const end = await followRun(client, parameters, (stage) => view.show(stage), stop);
  view.close();
  if (end === undefined) return leave(run);
  await tellEnd(client, { action, parameters }, end, json);
}

/** Nobody needs to wait for a run. */
function leave(run: string): void {
  printNote(`not waiting any more; the run goes on: lockstep status ${run}`);
  process.exitCode = 130;
}

async function tellEnd(
  client: ClusterClient,
  { parameters }: Launched,
  end: RunStage,
  isJson: boolean,
): Promise<void> {
  const run = formatClusterRun(parameters);
  const { runUrl: url } = parameters;
  if (end.kind !== 'finished') {
    const exitCode = end.kind === 'failed' ? failedExitCode(end.reason) : exitCodes.stopped;
    const { step = 0, result } = end.progress ?? {};
    const line = { kind: 'failed', run, url, step, sha256: result?.sha256 ?? '' };
    if (isJson) printJson({ ...line, reason: end.reason, exit_code: exitCode });
    throw new CommandFailed(`${run} ${end.kind}: ${end.reason}`, exitCode, hintFor(end, run));
  }
  const { step, sha256 } = await resultOf(client, parameters, end);
  if (isJson)
    return printJson({
      kind: 'finished',
      run,
      url,
      step,
      sha256,
      exit_code: exitCodes.ok,
    });
  printLine(`finished: ${end.reason || `step ${step}`}`);
  printLine(`parameters sha256 ${sha256 || '(not told)'}`);
  printLine(`export it with: lockstep export ${url} --format onnx --out model`);
}

function hintFor({ kind }: RunStage, run: string): string {
  if (kind === 'gone') return 'It was cancelled. Launched again, it goes on from its checkpoint.';
  return `See why: lockstep logs ${run}\nGo on with it: lockstep resume ${run}`;
}
