// What `lockstep train` and `lockstep resume` share: a local run, seen by a person or a script.

import { readEnvironment } from '../../shared/environment.js';
import { OperatorError, type Problem } from '../../shared/problems.js';
import type { Provider } from '../../worker/engine/engine.js';
import { chooseDevices } from './gpus.js';
import { printJson, printNote } from '../output.js';
import { stopOnSignals } from '../processes.js';
import { runLocally } from './local-run.js';
import { createRunView } from './run-lines.js';

/** Options of both commands. */
export interface LocalTrainingArguments {
  workers: number;
  stopAfter?: number | undefined;
  nats?: string | undefined;
  restarts: number;
  standby: boolean;
  provider?: Provider | undefined;
  gpus?: string | undefined;
  allowFaults: boolean;
  json: boolean;
}

/** Runs the processes and sets the process's exit code; `specArgs` are those of a new run. */
export async function trainLocally(
  args: LocalTrainingArguments,
  runUrl: string,
  specArgs?: readonly string[],
): Promise<void> {
  requireSense(args);
  const devices = args.gpus === undefined ? [] : chooseDevices(args.gpus);
  const view = args.json ? undefined : createRunView(readEnvironment().isPlain);
  const stop = stopOnSignals(() => printNote('stopping after this step; once more ends at once'));
  const optional = [
    ...(args.stopAfter === undefined ? [] : ['--stop-after', String(args.stopAfter)]),
    ...(args.nats === undefined ? [] : ['--nats', args.nats]),
  ];
  process.exitCode = await runLocally({
    ...{ runUrl, specArgs, coordinatorArgs: optional, workers: args.workers },
    ...{ restarts: args.restarts, hasStandby: args.standby, allowsFaults: args.allowFaults },
    ...{ provider: args.gpus === undefined ? args.provider : 'cuda', devices },
    onLine: (line) => (view === undefined ? printJson(line) : view.show(line)),
    onComplaint: printNote,
    stop,
  });
  view?.close();
}

function requireSense(args: LocalTrainingArguments): void {
  const { restarts, standby, nats, gpus, provider } = args;
  const problems: Problem[] = [];
  if (gpus !== undefined && provider !== undefined && provider !== 'cuda')
    problems.push({ key: '--provider', given: provider, allowed: 'cuda, with --gpus' });
  if (!Number.isInteger(restarts) || restarts < 0)
    problems.push({ key: '--restarts', given: restarts, allowed: 'a whole number, 0 for never' });
  if (standby && (nats ?? readEnvironment().natsUrl) === undefined)
    problems.push({
      key: '--nats',
      given: undefined,
      allowed: 'a nats:// url, where --standby keeps the lease of the run',
    });
  if (problems.length > 0) throw new OperatorError('the run can not start', problems);
}
