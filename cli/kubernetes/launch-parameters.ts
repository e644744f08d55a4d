// What `lockstep launch` is given: its options, the parameters that they come to, and their checks,
// as a whole and before anything is sent. The root ConfigMap keeps the parameters as launch.json,
// where `lockstep resume` finds them.

import type { Argv } from 'yargs';
import { z } from 'zod';
import { OperatorError, withoutLogin, type Problem } from '../../shared/problems.js';
import { drivesSeveralDevices } from '../../shared/spec/engines.js';
import type { RunSpec } from '../../shared/spec/schema.js';
import { workersProblem } from '../../shared/spec/validate.js';
import { parseStoreUrl } from '../../shared/store/places.js';
import { providers } from '../../worker/engine/engine.js';
import { rangeProblems } from '../number-ranges.js';
import { lanesRange } from '../local/lanes.js';
import { flagOption } from '../options.js';
import { runId } from '../stores.js';
import { withSpecOptions, type SpecArguments } from '../spec-options.js';
import { gpuProblems } from './gpu-problems.js';
import { withClusterOptions, type ClusterArguments } from './cluster-access.js';
import { isNamespace, isRunName } from './names.js';

const text = z.string().max(2048);

/** The form of launch.json. */
export const launchParametersSchema = z.object({
  name: text,
  namespace: text,
  /** The run's folder in the object store. */
  runUrl: text,
  /** Where the dataset lies now, if it has been moved since the spec was written. */
  datasetUrl: text.optional(),
  image: text,
  workers: z.int(),
  coordinators: z.int(),
  gpusPerWorker: z.int(),
  /** Lanes of the exchange of each; 1 when not given. */
  lanes: z.int().optional(),
  /** What the engine computes with; with GPUs cuda, or a pod would hold one and use its CPU. */
  provider: z.enum(providers).optional(),
  cpusPerWorker: text,
  memoryPerWorker: text,
  /** A Secret with AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, by name. */
  s3Secret: text.optional(),
  /** A ServiceAccount of the cluster's owner with rights in the object store, for all pods. */
  serviceAccount: text.optional(),
  /** An AWS role that the run's own ServiceAccounts may take (IRSA), by its ARN. */
  serviceAccountRole: text.optional(),
  s3Endpoint: text.optional(),
  /** CIDRs, with commas between, where the cloud's own services have private addresses. */
  privateEndpoints: text.optional(),
  s3Region: text,
  natsUrl: text.optional(),
  /** A Secret with LOCKSTEP_NATS_URL and what else the login needs, by name. */
  natsSecret: text.optional(),
  /** A Kueue LocalQueue. */
  queue: text.optional(),
  /** What TLS closes; all when not given. */
  tls: z.enum(['control']).optional(),
  /** A Secret with certificates by name, or one of coordinators and one of workers: "A,B". */
  tlsSecret: text.optional(),
  /** Pods talk in clear, and to everybody. */
  insecure: z.literal(true).optional(),
});

export type LaunchParameters = z.infer<typeof launchParametersSchema>;

/** What the commands use when an option is not given. */
export const launchDefaults = {
  namespace: 'default',
  workers: 1,
  coordinators: 2,
  gpusPerWorker: 0,
  memoryPerWorker: '4Gi',
  s3Region: 'us-east-1',
} as const;

type Renamed = 'name' | 'runUrl' | 'datasetUrl' | 'natsUrl' | 'cpusPerWorker' | 'tls' | 'insecure';

/** The flags of `lockstep launch`. */
export type LaunchArguments = SpecArguments &
  ClusterArguments &
  Omit<LaunchParameters, Renamed> & {
    readonly run: string;
    readonly dataset?: string | undefined;
    readonly name?: string | undefined;
    readonly nats?: string | undefined;
    readonly cpusPerWorker?: string | undefined;
    readonly tls?: 'all' | 'control' | undefined;
    readonly insecure: boolean;
    readonly dryRun: boolean;
    readonly detach: boolean;
    readonly json: boolean;
  };

/** Adds what is needed beside the spec. */
export function withLaunchOptions(y: Argv): Argv<LaunchArguments> {
  const word = (describe: string) => ({ type: 'string', requiresArg: true, describe }) as const;
  return withWaitOptions(withClusterOptions(withSpecOptions(y)))
    .option('run', { ...word("The run's folder, s3://bucket/prefix"), demandOption: true })
    .option('dataset', word('Where the dataset of a run lies now, if it has been moved'))
    .option('image', { ...word('Image of Lockstep, by tag or digest'), demandOption: true })
    .option('workers', {
      ...{ type: 'number', requiresArg: true, default: launchDefaults.workers },
      describe: 'Pods that train; any number up to batch.microShards gives the same bytes',
    })
    .option('gpus-per-worker', {
      ...{ type: 'number', requiresArg: true, default: launchDefaults.gpusPerWorker },
      describe: 'nvidia.com/gpu of each: 0 or 1; with engine.name xla also more',
    })
    .option('lanes', {
      ...{ type: 'number', requiresArg: true, defaultDescription: '1' },
      describe: 'Threads of the exchange of each, with a port each: more for fast networks',
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
    .option(
      'private-endpoints',
      word("Where the cloud's S3 and STS have private addresses: CIDRs, with commas between"),
    )
    .option('s3-region', { ...word('Region of the bucket'), default: launchDefaults.s3Region })
    .option('nats', word('nats:// address for events, as pods reach it'))
    .option(
      'nats-secret',
      word('Secret with LOCKSTEP_NATS_URL, and LOCKSTEP_NATS_CREDS and so on, for a login'),
    )
    .option('tls', {
      ...{ choices: ['all', 'control'], requiresArg: true, defaultDescription: 'all' },
      describe: 'control leaves what workers exchange, gradients and whole states, in clear',
    })
    .option(
      'tls-secret',
      word('Secret with certificates, or COORDINATORS,WORKERS; else the launch makes one'),
    )
    .option('insecure', flagOption('No TLS: whoever reaches a pod can read, change, stop the run'))
    .option('queue', word("Kueue's LocalQueue, which starts the run when there is room"))
    .option('dry-run', {
      ...{ type: 'boolean', default: false },
      describe: 'Print the objects as YAML and send nothing',
    }) as Argv<object> as Argv<LaunchArguments>;
}

/** Adds --detach and --json. */
export function withWaitOptions<T>(y: Argv<T>): Argv<T & { detach: boolean; json: boolean }> {
  return y
    .option('detach', flagOption('Do not wait for the end of a run in a cluster'))
    .option('json', flagOption('One JSON object a line; the last has run, step, sha256'));
}

/** The parameters of the run that the options describe; not checked yet. */
export function launchParametersOf(args: LaunchArguments, spec: RunSpec): LaunchParameters {
  const runUrl = args.run.replace(/\/+$/, '');
  const { name = runId(runUrl), cpusPerWorker = String(spec.engine.threads) } = args;
  const given = {
    ...args,
    name,
    runUrl,
    cpusPerWorker,
    natsUrl: args.nats,
    datasetUrl: args.dataset,
    // What is so by default is not written down, so that asking for it is no change.
    tls: args.tls === 'all' ? undefined : args.tls,
    insecure: args.insecure || undefined,
  };
  const keys = launchParametersSchema.keyof().options;
  return Object.fromEntries(keys.map((key) => [key, given[key]])) as LaunchParameters;
}

const mostCoordinators = 5;
/** More than any node has. */
const mostGpus = 64;
/** A Kubernetes quantity, positive; https://kubernetes.io/docs/reference/kubernetes-api/ */
const quantity = /^(?=.*[1-9])[0-9]+(\.[0-9]+)?(m|k|[KMGT]i?)?$/;
const imagePattern = /^[a-z0-9][a-z0-9._:/-]*(:[\w][\w.-]{0,127})?(@sha256:[a-f0-9]{64})?$/i;
const rolePattern = /^arn:aws[a-z-]*:iam::\d{12}:role\/[\w+=,.@/-]{1,512}$/;
const namePattern = /^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$/;

/** Throws one OperatorError with everything that is wrong. */
export function requireLaunchable(given: LaunchParameters, spec: RunSpec): void {
  const problems = [
    ...nameProblems(given),
    ...doorProblems(given),
    ...countProblems(given, spec),
    ...gpuProblems(given, spec.engine.name),
    ...storeProblems(given, spec),
    ...quantityProblems(given),
  ];
  if (problems.length > 0) throw new OperatorError('the run can not be launched', problems);
}

type Check = readonly [key: string, given: string | undefined, isGood: boolean, allowed: string];

function failing(checks: readonly Check[]): Problem[] {
  return checks
    .filter(([, given, isGood]) => given !== undefined && !isGood)
    .map(([key, given, , allowed]) => ({ key, given: given === '' ? undefined : given, allowed }));
}

function nameProblems(given: LaunchParameters): Problem[] {
  const { name, namespace, image, s3Secret, natsSecret, serviceAccount, queue } = given;
  const isName = (value = ''): boolean => namePattern.test(value);
  return failing([
    ['--name', name, isRunName(name), 'small letters, digits and -, from a letter on, at most 40'],
    ['--namespace', namespace, isNamespace(namespace), 'the name of a namespace'],
    ['--image', image, imagePattern.test(image), 'registry/repository:tag, or with a digest'],
    ['--s3-secret', s3Secret, isName(s3Secret), 'the name of a Secret in the namespace'],
    ['--nats-secret', natsSecret, isName(natsSecret), 'the name of a Secret in the namespace'],
    ['--service-account', serviceAccount, isName(serviceAccount), 'the name of a ServiceAccount'],
    ['--queue', queue, isName(queue), 'the name of a LocalQueue'],
  ]);
}

/** Certificates come from one place, and there are none where pods talk in clear. */
function doorProblems({ insecure, tls, tlsSecret }: LaunchParameters): Problem[] {
  const names = tlsSecret?.split(',') ?? [];
  const areNames = names.length <= 2 && names.every((name) => namePattern.test(name));
  const isAlone = tls === undefined && tlsSecret === undefined;
  const open = insecure === true ? 'pods that talk in clear' : undefined;
  return failing([
    ['--tls-secret', tlsSecret, areNames, 'the name of a Secret, or COORDINATORS,WORKERS'],
    ['--insecure', open, isAlone, 'without --tls and --tls-secret'],
  ]);
}

function countProblems(given: LaunchParameters, { batch, engine }: RunSpec): Problem[] {
  const wrongWorkers = workersProblem(given.workers, batch.microShards);
  const drivesSeveral = drivesSeveralDevices(engine.name);
  const problems = rangeProblems({
    '--coordinators': [given.coordinators, 1, mostCoordinators],
    '--gpus-per-worker': [given.gpusPerWorker, 0, drivesSeveral ? mostGpus : 1],
    ...lanesRange(given.lanes),
  });
  const why =
    `a worker of the engine ${engine.name} drives one: more GPUs are more workers, ` +
    'or engine.name xla';
  return [
    ...(wrongWorkers === undefined ? [] : [wrongWorkers]),
    ...problems.map((one) =>
      one.key === '--gpus-per-worker' && !drivesSeveral ? { ...one, hint: why } : one,
    ),
  ];
}

function storeProblems(given: LaunchParameters, spec: RunSpec): Problem[] {
  const {
    runUrl,
    datasetUrl,
    s3Endpoint,
    natsUrl,
    natsSecret,
    s3Region,
    serviceAccountRole: role,
    privateEndpoints: inside,
  } = given;
  return [
    ...failing([
      ['--run', runUrl, isS3(runUrl), 's3://bucket/prefix, which all pods can reach'],
      ['--dataset', datasetUrl, isS3(datasetUrl), 's3://bucket/prefix, which all pods can reach'],
      ['dataset.url', spec.dataset.url, isS3(spec.dataset.url), 's3://bucket/prefix'],
      ['init.generator', spec.init?.generator, isS3(spec.init?.generator), 's3://bucket/prefix'],
      ['--s3-endpoint', s3Endpoint, isUrl(s3Endpoint, /^https?:$/), 'an http(s):// address'],
      ['--s3-region', s3Region, /^[a-z0-9-]{1,64}$/.test(s3Region), 'the name of a region'],
      ['--private-endpoints', inside, areCidrs(inside), 'for example 10.0.0.0/16,10.1.0.0/16'],
      ['--nats', natsUrl, isUrl(natsUrl, /^(nats|tls):$/), 'a nats:// or tls:// address'],
      [
        '--service-account-role',
        role,
        rolePattern.test(role ?? ''),
        'arn:aws:iam::ACCOUNT:role/NAME',
      ],
    ]),
    ...credentialProblems(given),
    ...secretProblems('--s3-endpoint', s3Endpoint),
    ...secretProblems('--nats', natsUrl),
    ...failing([['--nats-secret', natsSecret, natsUrl === undefined, 'without --nats']]),
  ];
}

/** One way to the object store's rights, or none where nodes have them. */
function credentialProblems(given: LaunchParameters): Problem[] {
  const ways = {
    '--s3-secret': given.s3Secret,
    '--service-account': given.serviceAccount,
    '--service-account-role': given.serviceAccountRole,
  };
  const [, ...more] = Object.entries(ways).filter(([, value]) => value !== undefined);
  return more.map(([key, value]) => ({
    ...{ key, given: value },
    allowed: `one of ${Object.keys(ways).join(', ')}`,
  }));
}

/** Objects are read by many: they carry no passwords. */
function secretProblems(key: string, url: string | undefined): Problem[] {
  if (url === undefined || !url.includes('@')) return [];
  const hint = key === '--nats' ? '--nats-secret names a Secret with it' : 'see --s3-secret';
  return [{ key, given: withoutLogin(url), allowed: 'an address without password', hint }];
}

function quantityProblems(given: LaunchParameters): Problem[] {
  const { cpusPerWorker, memoryPerWorker } = given;
  return failing([
    ['--cpus-per-worker', cpusPerWorker, quantity.test(cpusPerWorker), 'for example 4 or 500m'],
    ['--memory-per-worker', memoryPerWorker, quantity.test(memoryPerWorker), 'for example 4Gi'],
  ]);
}

function isS3(url = ''): boolean {
  try {
    return parseStoreUrl(url).kind === 's3';
  } catch {
    return false;
  }
}

const cidrPattern =
  /^(25[0-5]|(2[0-4]|1?\d)?\d)(\.(25[0-5]|(2[0-4]|1?\d)?\d)){3}\/(3[0-2]|[12]?\d)$/;
/** Of one rule of a policy. */
const mostCidrs = 32;

function areCidrs(given = ''): boolean {
  const all = given.split(',');
  return all.length <= mostCidrs && all.every((one) => cidrPattern.test(one));
}

function isUrl(given: string | undefined, scheme: RegExp): boolean {
  try {
    return scheme.test(new URL(given ?? '').protocol);
  } catch {
    return false;
  }
}
