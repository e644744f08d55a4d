// What `lockstep train` and `lockstep resume` share: their options, and a local run that a person
// or a script follows. `train` writes the record of a new run; every process resumes from it.

import { resolve } from 'node:path';
import type { ArgumentsCamelCase, InferredOptionTypes, Options } from 'yargs';
import { openRun } from '../../coordinator/edge/run-plan.js';
import { readEnvironment } from '../../shared/environment.js';
import { exitCodes } from '../../shared/exit-codes.js';
import { chosenNats } from '../../shared/events/nats-url.js';
import { maxWorkers } from '../../shared/control/messages.js';
import { OperatorError } from '../../shared/problems.js';
import { devicesProblem } from '../../shared/spec/engines.js';
import type { RunSpec } from '../../shared/spec/schema.js';
import { parseStoreUrl } from '../../shared/store/places.js';
import { providers } from '../../worker/engine/engine.js';
import { CommandFailed } from '../failure.js';
import { stopWhenInterrupted } from '../interruptions.js';
import { rangeProblems } from '../number-ranges.js';
import { amountOption, flagOption, tensorboardOption, wordOption } from '../options.js';
import { printJson, printNote } from '../output.js';
import { runId, storeOptions, withStore } from '../stores.js';
import { requireCertificates } from './certificates.js';
import { devicesBesideGpus, devicesOption, parseDevices } from './devices.js';
import { chooseDevices } from './gpus.js';
import { lanesOption, lanesRange } from './lanes.js';
import { runLocally } from './local-run.js';
import { createRunView } from './run-lines.js';
import { workerNames } from './worker-crew.js';
import { tlsFolder } from '../tls/tls-options.js';
import { httpOptions, localPageFlags } from '../watch/http-options.js';

export const trainingOptions = {
  workers: amountOption(
    'Worker processes; any number up to batch.microShards gives the same bytes',
    { default: 1 },
  ),
  'stop-after': amountOption('Halt, checkpointed, after this step (exit code 3)'),
  nats: wordOption('nats:// url to publish events to ($LOCKSTEP_NATS_URL)'),
  tensorboard: tensorboardOption,
  standby: flagOption(
    'A second coordinator, which takes over when the first is lost (needs --nats)',
  ),
  ...httpOptions,
  'tls-dir': wordOption(
    'Folder of certificates (lockstep tls init) with which all processes speak TLS; ' +
      'without it they speak in clear, on this machine only',
  ),
  restarts: amountOption('How many processes that die are started again, in all; 0: none', {
    default: 100,
  }),
  provider: {
    choices: providers,
    describe: "What the spec's engine computes with (default: cpu, and tensorflow any GPU)",
  },
  devices: devicesOption,
  lanes: lanesOption,
  gpus: wordOption(
    'all, or numbers with commas: GPUs that the workers share, one each if they suffice',
  ),
  'allow-faults': flagOption('Workers obey lockstep chaos where it asks them to misbehave'),
  json: flagOption('One JSON object a line; the last has run, step, sha256, world, images_per_s'),
} as const satisfies Record<string, Options>;

export type TrainingArguments = InferredOptionTypes<typeof trainingOptions> & {
  readonly dataset?: string | undefined;
};

/** Runs all processes and sets the exit code of this one; `spec` is that of a new run. */
export async function trainLocally(
  args: ArgumentsCamelCase<TrainingArguments>,
  runUrl: string,
  spec?: RunSpec,
): Promise<void> {
  requireSense(args, spec);
  const { workers, stopAfter, nats, json } = args;
  const certificates = tlsFolder(args);
  // What is more is refused later.
  if (certificates !== undefined)
    requireCertificates(certificates, runId(runUrl), workerNames(Math.min(workers, maxWorkers)));
  chosenNats(nats, readEnvironment());
  const dataset = args.dataset && parseStoreUrl(args.dataset, '--dataset').url;
  const gpus = args.gpus === undefined ? [] : chooseDevices(args.gpus);
  const pageFlags = await localPageFlags(args, readEnvironment().http);
  const view = json ? undefined : createRunView(readEnvironment().isPlain);
  const stop = stopWhenInterrupted({
    onStop: () => printNote('stopping in order; once more ends at once'),
  });
  requireNoStop(stop, 'No run was opened: nothing was written.');
  if (spec !== undefined)
    await withStore(runUrl, (store) =>
      openRun({
        ...{ run: runId(runUrl), store, storeOptions: storeOptions(), spec, ifExists: 'fail' },
        ...{ worldSize: workers, until: stopAfter, nowMs: Date.now() },
      }),
    );
  requireNoStop(stop, `Nothing was computed; to start: lockstep resume ${runUrl}`);
  process.exitCode = await runLocally({
    ...{
      runUrl,
      workers,
      restarts: args.restarts,
      gpus,
      devices: parseDevices(args.devices),
      lanes: args.lanes,
      stop,
    },
    ...{ hasStandby: args.standby, allowsFaults: args.allowFaults },
    provider: args.gpus === undefined ? args.provider : 'cuda',
    coordinatorArgs: [
      ...pageFlags,
      ...(stopAfter === undefined ? [] : ['--stop-after', String(stopAfter)]),
      ...(dataset === undefined ? [] : ['--dataset', dataset]),
      ...(args.tensorboard ? [] : ['--no-tensorboard']),
    ],
    // It may have a password in it.
    environment: {
      ...(nats === undefined ? {} : { LOCKSTEP_NATS_URL: nats }),
      ...(args.tlsDir === undefined ? {} : { LOCKSTEP_TLS_DIR: resolve(args.tlsDir) }),
    },
    onLine: (line) => (view === undefined ? printJson(line) : view.show(line)),
    onComplaint: printNote,
  });
  view?.close();
}

/** Ends a command that was asked to stop while it had nothing to store yet. */
function requireNoStop({ aborted, reason }: AbortSignal, hint: string): void {
  if (!aborted) return;
  const text = `stopped before the first step (${String(reason)})`;
  throw new CommandFailed(text, exitCodes.interrupted, hint);
}

function requireSense(args: ArgumentsCamelCase<TrainingArguments>, spec?: RunSpec): void {
  const { restarts, standby, nats, gpus, provider } = args;
  const devices = parseDevices(args.devices);
  const problems = rangeProblems({ '--restarts': [restarts, 0], ...lanesRange(args.lanes) });
  if (gpus !== undefined && provider !== undefined && provider !== 'cuda')
    problems.push({ key: '--provider', given: provider, allowed: 'cuda, with --gpus' });
  if (gpus !== undefined && devices !== 1) problems.push(devicesBesideGpus(args.devices));
  const wrongDevices = spec && devicesProblem(spec.engine.name, devices);
  if (wrongDevices !== undefined) problems.push(wrongDevices);
  if (standby && (nats ?? readEnvironment().natsUrl) === undefined)
    problems.push({
      key: '--nats',
      given: undefined,
      allowed: 'a nats:// url, where --standby keeps the lease of the run',
    });
  if (problems.length > 0) throw new OperatorError('the run can not start', problems);
}
