// The options of `lockstep launch`, and the launch parameters that they come to.

import type { Argv } from 'yargs';
import type { RunSpec } from '../../shared/spec/schema.js';
import { providers, type Provider } from '../../worker/engine/engine.js';
import { runId } from '../run-location.js';
import { withSpecOptions, type SpecArguments } from '../spec-options.js';
import { withClusterOptions, type ClusterArguments } from './cluster-access.js';
import { launchDefaults, type LaunchParameters } from './launch-parameters.js';

export interface LaunchArguments extends SpecArguments, ClusterArguments {
  readonly run: string;
  readonly image: string;
  readonly workers: number;
  readonly gpusPerWorker: number;
  readonly provider?: Provider | undefined;
  readonly cpusPerWorker?: string | undefined;
  readonly memoryPerWorker: string;
  readonly coordinators: number;
  readonly name?: string | undefined;
  readonly namespace: string;
  readonly s3Secret?: string | undefined;
  readonly serviceAccount?: string | undefined;
  readonly serviceAccountRole?: string | undefined;
  readonly s3Endpoint?: string | undefined;
  readonly s3Region: string;
  readonly nats?: string | undefined;
  readonly queue?: string | undefined;
  readonly dryRun: boolean;
  readonly detach: boolean;
  readonly json: boolean;
}

/** Adds what is needed beside the spec. */
export function withLaunchOptions(y: Argv): Argv<LaunchArguments> {
  const word = (describe: string) => ({ type: 'string', requiresArg: true, describe }) as const;
  return withWaitOptions(withClusterOptions(withSpecOptions(y)))
    .option('run', { ...word("The run's folder, s3://bucket/prefix"), demandOption: true })
    .option('image', { ...word('Image of Lockstep, by tag or digest'), demandOption: true })
    .option('workers', {
      ...{ type: 'number', requiresArg: true, default: launchDefaults.workers },
      describe: 'Pods that train; any number up to batch.microShards gives the same bytes',
    })
    .option('gpus-per-worker', {
      ...{ type: 'number', requiresArg: true, default: launchDefaults.gpusPerWorker },
      describe: 'nvidia.com/gpu of each: 0 or 1',
    })
    .option('provider', {
      ...{ choices: providers, requiresArg: true, defaultDescription: 'cuda with GPUs' },
      describe: "What the spec's engine computes with",
    })
    .option('cpus-per-worker', {
      ...word('CPUs of each'),
      defaultDescription: "the spec's engine.threads",
    })
    .option('memory-per-worker', {
      ...word('Memory of each'),
      default: launchDefaults.memoryPerWorker,
    })
    .option('coordinators', {
      ...{ type: 'number', requiresArg: true, default: launchDefaults.coordinators },
      describe: 'One leads, the others stand by',
    })
    .option('name', { ...word('Name of the run'), defaultDescription: 'the last part of --run' })
    .option('namespace', { ...word('Namespace'), default: launchDefaults.namespace })
    .option('s3-secret', word('Secret with AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY'))
    .option('service-account', word('ServiceAccount whose role may use the object store'))
    .option('service-account-role', word("AWS role for the run's own ServiceAccounts, by its ARN"))
    .option('s3-endpoint', word("An S3 server other than AWS's, as pods reach it"))
    .option('s3-region', { ...word('Region of the bucket'), default: launchDefaults.s3Region })
    .option('nats', word('nats:// address for events, as pods reach it'))
    .option('queue', word("Kueue's LocalQueue, which starts the run when there is room"))
    .option('dry-run', {
      ...{ type: 'boolean', default: false },
      describe: 'Print the objects as YAML and send nothing',
    }) as Argv<object> as Argv<LaunchArguments>;
}

/** Adds --detach and --json. */
export function withWaitOptions<T>(y: Argv<T>): Argv<T & { detach: boolean; json: boolean }> {
  return y
    .option('detach', {
      type: 'boolean',
      default: false,
      describe: 'Do not wait for the end of a run in a cluster',
    })
    .option('json', {
      type: 'boolean',
      default: false,
      describe: 'One JSON object a line; the last has run, step, sha256',
    });
}

/** The parameters of the run that the options describe; not checked yet. */
export function launchParametersOf(args: LaunchArguments, spec: RunSpec): LaunchParameters {
  const runUrl = args.run.replace(/\/+$/, '');
  const { namespace, image, workers, coordinators, gpusPerWorker, memoryPerWorker, s3Region } =
    args;
  return {
    name: args.name ?? runId(runUrl),
    ...{ namespace, runUrl, image, workers, coordinators, gpusPerWorker },
    provider: args.provider,
    cpusPerWorker: args.cpusPerWorker ?? String(spec.engine.threads),
    ...{ memoryPerWorker, s3Secret: args.s3Secret, serviceAccount: args.serviceAccount },
    serviceAccountRole: args.serviceAccountRole,
    ...{ s3Endpoint: args.s3Endpoint, s3Region, natsUrl: args.nats, queue: args.queue },
  };
}
