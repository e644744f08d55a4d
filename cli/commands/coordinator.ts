// `lockstep coordinator`: forms the world, watches it, commits checkpoints. It is not on the step
// path: gradients never pass through it.

import type { CommandModule, InferredOptionTypes, Options } from 'yargs';
import type { ReportLine } from '../../coordinator/edge/reporter.js';
import { coordinatorMain } from '../../coordinator/main.js';
import { readEnvironment } from '../../shared/environment.js';
import { chosenNats } from '../../shared/events/nats-url.js';
import { parseHttpPlace } from '../../shared/http/server.js';
import { createLog, type Log } from '../../shared/log.js';
import { parseLeaseUrl } from '../../shared/kubernetes/lease-place.js';
import { OperatorError } from '../../shared/problems.js';
import type { ListenPlace } from '../../shared/tls/doors.js';
import { parseStoreUrl } from '../../shared/store/places.js';
import { flagOption, numberOption, tensorboardOption, textOption, wordOption } from '../options.js';
import { withSpecOptions, resolveSpec, type SpecArguments } from '../spec-options.js';
import { printJson, printNote } from '../output.js';
import { runId, runUrl, storeOptions } from '../stores.js';
import { exitWithParent, logHelp, logLevel } from '../processes.js';
import { stopWhenInterrupted } from '../interruptions.js';
import { chooseDoors, doorOptions } from '../tls/tls-options.js';
import { createRunView } from '../local/run-lines.js';
import { httpOptions, pagePlace } from '../watch/http-options.js';

const options = {
  run: textOption('folder (url) or id of the run', { demandOption: true }),
  resume: flagOption('go on with the run that is there, by its own spec'),
  dataset: wordOption('where the dataset of the run lies now, if it has been moved'),
  'if-exists': {
    choices: ['fail', 'resume'],
    default: 'fail',
    describe: 'what to do when the folder holds a run of this spec already',
  },
  workers: numberOption('workers the world is formed of', { default: 1 }),
  listen: textOption(
    'host:port; with commas, also places for operators, which are in clear on a loopback address',
    { default: '127.0.0.1:7400' },
  ),
  'stop-after': numberOption('halt, checkpointed, after this step'),
  nats: textOption('nats:// url for events ($LOCKSTEP_NATS_URL)'),
  tensorboard: tensorboardOption,
  'join-timeout': numberOption('seconds to wait for all workers', { default: 120 }),
  standby: flagOption(
    'lead only while holding the lease of the run (in NATS or --lease); else wait',
  ),
  lease: wordOption('Lease of a Kubernetes cluster for --standby: k8s://NAMESPACE/NAME'),
  ...doorOptions,
  metrics: wordOption('host:port that answers Prometheus and probes: /metrics, /healthz, /readyz'),
  ...httpOptions,
  'exit-with-parent': flagOption('end when stdin is closed', { hidden: true }),
  json: flagOption('one JSON object a line'),
} as const satisfies Record<string, Options>;

type CoordinatorArguments = SpecArguments & InferredOptionTypes<typeof options>;

export const coordinatorCommand: CommandModule<object, CoordinatorArguments> = {
  command: 'coordinator',
  describe: 'Run the coordinator of a run: workers join it',
  builder: (y) =>
    withSpecOptions(y)
      .options(options)
      .epilogue(logHelp)
      .example(
        '$0 coordinator -f run.yaml --run s3://bucket/runs/faces --workers 4 ' +
          '--listen 0.0.0.0:7400 --tls-dir tls',
        'serve a new run to four workers on other machines; see lockstep tls init',
      )
      .example(
        '$0 coordinator --resume --standby --run s3://bucket/faces --workers 4 --nats nats://n',
        'take over when the coordinator that leads the run is lost',
      )
      .example(
        '$0 coordinator -f run.yaml --run s3://bucket/faces --if-exists resume --workers 4 ' +
          '--listen 10.1.2.3:7400 --tls-dir tls --standby --lease k8s://training/faces',
        'one of two pods: the one that gets the Lease opens the run, or goes on with it',
      )
      .example(
        '$0 coordinator -f run.yaml --run faces --http 0.0.0.0:7480 --http-token-file token ' +
          '--http-cert cert.pem --http-key key.pem --metrics 127.0.0.1:9464',
        'show the run to whoever has the token, and its metrics to Prometheus',
      ),
  handler: async (args) => {
    const environment = readEnvironment();
    const nats = chosenNats(args.nats, environment);
    requireLease(args, nats !== undefined);
    requireMetricsPlace(args.metrics);
    const tls = chooseDoors(args, { role: 'coordinator' }, doorsOf(args));
    const page = await pagePlace(
      args,
      environment.http,
      tls && { folder: tls.folder, holder: { role: 'coordinator' } },
    );
    if (args.exitWithParent) exitWithParent();
    const say = (): void => printNote('stopping after this step; once more ends at once');
    const stop = stopWhenInterrupted({
      outlivesReaders: true,
      ...(args.exitWithParent ? {} : { onStop: say }),
    });
    const view = args.json ? undefined : createRunView(environment.isPlain);
    const url = runUrl(args.run, { key: '--run' });
    const log = createLog({ name: 'coordinator', level: logLevel(), fields: { run: runId(url) } });
    process.exitCode = await coordinatorMain({
      listen: args.listen,
      runUrl: url,
      run: runId(url),
      spec: args.resume ? undefined : resolveSpec(args),
      datasetUrl: args.dataset && parseStoreUrl(args.dataset, '--dataset').url,
      ifExists: args.ifExists,
      worldSize: args.workers,
      stopAfter: args.stopAfter,
      nats,
      tensorboard: args.tensorboard,
      standby: args.standby,
      leaseUrl: args.lease,
      storeOptions: storeOptions(),
      joinTimeoutMs: args.joinTimeout * 1000,
      page,
      metrics: args.metrics,
      tlsFolder: tls?.folder,
      stop,
      onLine: (line) => {
        if (view === undefined) return printJson(line);
        view.show(line);
        logLine(log, line);
      },
      log,
    });
    view?.close();
  },
};

function doorsOf({ listen, metrics }: CoordinatorArguments): ListenPlace[] {
  const control = listen.split(',').map((at) => ({ key: '--listen', at }));
  return metrics === undefined ? control : [...control, { key: '--metrics', at: metrics }];
}

/** Logs a line of the report that is shown to people; steps are too many. */
function logLine(log: Log, { kind, ...fields }: ReportLine): void {
  if (kind === 'step' || kind === 'evaluation') return;
  const isBad = ['lost', 'notice', 'superseded', 'failed'].includes(kind);
  log[isBad ? 'warn' : 'info'](kind, fields);
}

function requireMetricsPlace(given: string | undefined): void {
  if (given === undefined || parseHttpPlace(given) !== undefined) return;
  const problem = { key: '--metrics', given, allowed: 'HOST:PORT' };
  throw new OperatorError('the coordinator can not start', [problem]);
}

function requireLease({ standby, lease }: CoordinatorArguments, hasNats: boolean): void {
  if (lease !== undefined) parseLeaseUrl(lease);
  if (standby ? lease !== undefined || hasNats : lease === undefined) return;
  const problem = standby
    ? {
        key: '--nats or --lease',
        given: undefined,
        allowed: 'a nats:// or k8s:// url, where --standby keeps the lease of the run',
      }
    : { key: '--lease', given: lease, allowed: 'together with --standby, which waits for it' };
  throw new OperatorError('the coordinator can not start', [problem]);
}
