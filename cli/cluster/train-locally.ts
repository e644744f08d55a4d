// What `lockstep train` and `lockstep resume` share: a local cluster, seen by a person or a script.

import { readEnvironment } from '../../shared/environment.js';
import { printJson, printNote } from '../output.js';
import { runLocalCluster } from './local-cluster.js';
import { createRunView } from './run-view.js';
import { stopOnSignals } from './stop-signal.js';

/** Options of both commands. */
export interface LocalTrainingArguments {
  workers: number;
  stopAfter?: number | undefined;
  nats?: string | undefined;
  json: boolean;
}

/** Runs the cluster and sets the process's exit code. */
export async function trainLocally(
  args: LocalTrainingArguments,
  coordinatorArgs: readonly string[],
): Promise<void> {
  const view = args.json ? undefined : createRunView(readEnvironment().isPlain);
  const stop = stopOnSignals(() => printNote('stopping after this step; once more ends at once'));
  const optional = [
    ...(args.stopAfter === undefined ? [] : ['--stop-after', String(args.stopAfter)]),
    ...(args.nats === undefined ? [] : ['--nats', args.nats]),
  ];
  process.exitCode = await runLocalCluster({
    coordinatorArgs: [...coordinatorArgs, ...optional],
    workers: args.workers,
    onLine: (line) => (view === undefined ? printJson(line) : view.show(line)),
    onComplaint: printNote,
    stop,
  });
  view?.close();
}
