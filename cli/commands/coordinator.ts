// `lockstep coordinator`: forms the world, watches it, commits checkpoints. It is not on the step
// path: gradients never pass through it.

import type { Argv, CommandModule } from 'yargs';
import { coordinatorMain } from '../../coordinator/main.js';
import { readEnvironment } from '../../shared/environment.js';
import { OperatorError } from '../../shared/problems.js';
import { exitWithParent } from '../cluster/parent-watch.js';
import { withSpecOptions, resolveSpec, type SpecArguments } from '../spec-options.js';
import { printJson, printNote } from '../output.js';
import { runId, runUrl } from '../run-location.js';
import { storeOptions } from '../store-options.js';
import { stopOnSignals } from '../cluster/stop-signal.js';
import { createRunView } from '../cluster/run-view.js';

interface CoordinatorArguments extends SpecArguments {
  run: string;
  resume: boolean;
  workers: number;
  listen: string;
  stopAfter?: number | undefined;
  nats?: string | undefined;
  joinTimeout: number;
  standby: boolean;
  exitWithParent: boolean;
  json: boolean;
}

export const coordinatorCommand: CommandModule<object, CoordinatorArguments> = {
  command: 'coordinator',
  describe: 'Run the coordinator of a run: workers join it',
  builder: (y) =>
    withSpecOptions(y)
      .option('run', {
        type: 'string',
        demandOption: true,
        describe: 'folder (url) or id of the run',
      })
      .option('resume', {
        type: 'boolean',
        default: false,
        describe: 'go on with the run that is there, by its own spec',
      })
      .option('workers', { type: 'number', default: 1, describe: 'workers the world is formed of' })
      .option('listen', { type: 'string', default: '127.0.0.1:7400', describe: 'host:port' })
      .option('stop-after', { type: 'number', describe: 'halt, checkpointed, after this step' })
      .option('nats', { type: 'string', describe: 'nats:// url for events ($LOCKSTEP_NATS_URL)' })
      .option('join-timeout', {
        type: 'number',
        default: 120,
        describe: 'seconds to wait for all workers',
      })
      .option('standby', {
        type: 'boolean',
        default: false,
        describe: 'lead only while holding the lease of the run in NATS; else wait for it',
      })
      .option('exit-with-parent', {
        type: 'boolean',
        default: false,
        hidden: true,
        describe: 'end when stdin is closed',
      })
      .option('json', { type: 'boolean', default: false, describe: 'one JSON object a line' })
      .example(
        '$0 coordinator -f run.yaml --run s3://bucket/runs/faces --workers 4 --listen 0.0.0.0:7400',
        'serve a new run to four workers',
      )
      .example(
        '$0 coordinator --resume --standby --run s3://bucket/faces --workers 4 --nats nats://n',
        'take over when the coordinator that leads the run is lost',
      ) as Argv<object> as Argv<CoordinatorArguments>,
  handler: async (args) => {
    const environment = readEnvironment();
    const natsUrl = args.nats ?? environment.natsUrl;
    requireLease(args.standby, natsUrl);
    if (args.exitWithParent) exitWithParent();
    const view = args.json ? undefined : createRunView(environment.isPlain);
    const url = runUrl(args.run);
    process.exitCode = await coordinatorMain({
      listen: args.listen,
      runUrl: url,
      run: runId(url),
      spec: args.resume ? undefined : resolveSpec(args),
      worldSize: args.workers,
      stopAfter: args.stopAfter,
      natsUrl,
      standby: args.standby,
      storeOptions: storeOptions(),
      joinTimeoutMs: args.joinTimeout * 1000,
      stop: stopOnSignals(() => printNote('stopping after this step; once more ends at once')),
      onLine: (line) => (view === undefined ? printJson(line) : view.show(line)),
    });
    view?.close();
  },
};

function requireLease(isStandby: boolean, natsUrl: string | undefined): void {
  if (!isStandby || natsUrl !== undefined) return;
  throw new OperatorError('the coordinator can not start', [
    {
      key: '--nats',
      given: undefined,
      allowed: 'a nats:// url, where --standby keeps the lease of the run',
    },
  ]);
}
