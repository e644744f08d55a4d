// The environment variables Lockstep reads, all of them, parsed once. `process.env` appears in no
// other file. Credentials are not here: the AWS SDK finds them by its own chain.

import { homedir } from 'node:os';
import { join } from 'node:path';
import { z } from 'zod';
import type { NatsLogin } from './events/nats-login.js';
import { OperatorError, type Problem, maskSecrets, withoutLogin } from './problems.js';

const url = (schemes: RegExp, words: string) =>
  z.string().regex(schemes).max(2048).meta({ allowed: words });
const endpoint = url(/^https?:\/\/[^\s@]+$/, 'an http:// or https:// address, without a login');
/** The path of a file, or its text. */
const file = z.string().max(65_536).meta({ allowed: 'the path of a file, or its text' });
/** A variable of OpenTelemetry, which judges it. */
const standard = z.string().max(4096).meta({ allowed: 'a shorter text' });
const logLevels = ['trace', 'debug', 'info', 'warn', 'error', 'silent'] as const;

/** Each variable with the form it must have; an empty value counts as unset. */
const variables = z.object({
  LOCKSTEP_S3_ENDPOINT: endpoint.optional(),
  AWS_ENDPOINT_URL_S3: endpoint.optional(),
  LOCKSTEP_NATS_URL: url(/^(nats|tls):\/\/[^\s]+$/, 'a nats:// or tls:// address').optional(),
  LOCKSTEP_NATS_CREDS: file.optional(),
  LOCKSTEP_NATS_NKEY: file.optional(),
  LOCKSTEP_NATS_CA: file.optional(),
  LOCKSTEP_NATS_CERT: file.optional(),
  LOCKSTEP_NATS_KEY: file.optional(),
  LOCKSTEP_LOG_LEVEL: z
    .enum(logLevels)
    .meta({ allowed: logLevels.join(', ') })
    .optional(),
  LOCKSTEP_TLS_DIR: z.string().max(4096).meta({ allowed: 'the path of a folder' }).optional(),
  LOCKSTEP_HTTP: z.string().max(512).meta({ allowed: 'HOST:PORT, or off' }).optional(),
  LOCKSTEP_XLA_PLUGIN: z.string().max(4096).meta({ allowed: 'the path of a plugin' }).optional(),
  LOCKSTEP_TEST_S3_ENDPOINT: endpoint.optional(),
  LOCKSTEP_TEST_NATS_SERVER: z.string().max(4096).optional(),
  LOCKSTEP_TEST_VERSITYGW: z.string().max(4096).optional(),
  LOCKSTEP_TEST_KUBERNETES: z.string().max(4096).optional(),
  LOCKSTEP_TEST_IMAGES: z.string().max(4096).optional(),
  LOCKSTEP_TEST_PYTHON: z.string().max(4096).optional(),
  OTEL_EXPORTER_OTLP_ENDPOINT: standard.optional(),
  OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: standard.optional(),
  OTEL_SDK_DISABLED: standard.optional(),
  OTEL_TRACES_EXPORTER: standard.optional(),
  NO_COLOR: z.string().optional(),
  CI: z.string().optional(),
});

export type LogLevel = (typeof logLevels)[number];

/** What the environment says, under names of ours. */
export interface Environment {
  /** Object store: endpoint of an S3 server; undefined: AWS's own. The SDK finds the rest. */
  readonly s3: { readonly endpoint: string | undefined };
  /** Event bus; no events are sent when undefined. */
  readonly natsUrl: string | undefined;
  /** What to log in to it with, beside what its url says. */
  readonly natsLogin: NatsLogin | undefined;
  /** Where workers send OpenTelemetry's spans of steps; undefined: nowhere. */
  readonly otlpEndpoint: string | undefined;
  /** Of the JSON lines on stderr; undefined: each command has its own default. */
  readonly logLevel: LogLevel | undefined;
  /** Where a run's page is served: HOST:PORT, or off. */
  readonly http: string | undefined;
  /** The folder of this process's certificates; undefined: no TLS. */
  readonly tlsFolder: string | undefined;
  /** XLA plugin to use instead of one that `setup xla` installed: path of a shared object. */
  readonly xlaPlugin: string | undefined;
  /** `NO_COLOR` is set (https://no-color.org): no colours, no moving progress bars. */
  readonly isPlain: boolean;
  /** Servers for tests: an S3 endpoint that runs, and paths of programs to start. */
  readonly test: {
    readonly s3Endpoint: string | undefined;
    readonly natsServer: string | undefined;
    readonly versitygw: string | undefined;
    /** Folder of the programs of a Kubernetes cluster. */
    readonly kubernetes: string | undefined;
    /** Folder of the images that its nodes take, as archives. */
    readonly images: string | undefined;
    /** An interpreter that has the packages of `test/python/requirements.txt`. */
    readonly python: string | undefined;
  };
}

/** Parses the environment; throws OperatorError with every variable that is malformed. */
export function parseEnvironment(given: Readonly<Record<string, string | undefined>>): Environment {
  const set = Object.fromEntries(Object.entries(given).filter(([, value]) => value !== ''));
  const parsed = variables.safeParse(set);
  if (!parsed.success) {
    throw new OperatorError(
      'environment variables are malformed',
      parsed.error.issues.map((issue) => problemOf(String(issue.path[0]), given)),
    );
  }
  const values = parsed.data;
  return Object.freeze({
    s3: Object.freeze({
      endpoint: values.LOCKSTEP_S3_ENDPOINT ?? values.AWS_ENDPOINT_URL_S3,
    }),
    natsUrl: values.LOCKSTEP_NATS_URL,
    natsLogin: natsLoginOf(values),
    otlpEndpoint: otlpEndpointOf(values),
    logLevel: values.LOCKSTEP_LOG_LEVEL,
    http: values.LOCKSTEP_HTTP,
    tlsFolder: values.LOCKSTEP_TLS_DIR,
    xlaPlugin: values.LOCKSTEP_XLA_PLUGIN,
    isPlain: values.NO_COLOR !== undefined || values.CI !== undefined,
    test: Object.freeze({
      s3Endpoint: values.LOCKSTEP_TEST_S3_ENDPOINT,
      natsServer: values.LOCKSTEP_TEST_NATS_SERVER,
      versitygw: values.LOCKSTEP_TEST_VERSITYGW,
      kubernetes: values.LOCKSTEP_TEST_KUBERNETES,
      images: values.LOCKSTEP_TEST_IMAGES,
      python: values.LOCKSTEP_TEST_PYTHON,
    }),
  });
}

/** What to log in to NATS with beside its url, by the variables that have it. */
export const natsLoginVariables = {
  creds: 'LOCKSTEP_NATS_CREDS',
  nkey: 'LOCKSTEP_NATS_NKEY',
  ca: 'LOCKSTEP_NATS_CA',
  cert: 'LOCKSTEP_NATS_CERT',
  key: 'LOCKSTEP_NATS_KEY',
} as const satisfies Record<keyof NatsLogin, keyof z.infer<typeof variables>>;

function natsLoginOf(values: z.infer<typeof variables>): NatsLogin | undefined {
  const parts = Object.entries(natsLoginVariables);
  const login: NatsLogin = Object.fromEntries(parts.map(([name, key]) => [name, values[key]]));
  return Object.values(login).every((part) => part === undefined) ? undefined : login;
}

/** The variables are OpenTelemetry's own: https://opentelemetry.io/docs/specs/otel/protocol/exporter */
function otlpEndpointOf(values: z.infer<typeof variables>): string | undefined {
  const isOff =
    values.OTEL_SDK_DISABLED?.toLowerCase() === 'true' || values.OTEL_TRACES_EXPORTER === 'none';
  if (isOff) return undefined;
  return values.OTEL_EXPORTER_OTLP_TRACES_ENDPOINT ?? values.OTEL_EXPORTER_OTLP_ENDPOINT;
}

let parsedOnce: Environment | undefined;

/** The environment of this process, parsed on the first call. */
export function readEnvironment(): Environment {
  parsedOnce ??= parseEnvironment(process.env);
  return parsedOnce;
}

/** The whole environment for a child process, with some variables set or (undefined) unset. */
export function childEnvironment(
  changes: Readonly<Record<string, string | undefined>>,
): Record<string, string> {
  const merged = Object.entries({ ...process.env, ...changes });
  return Object.fromEntries(
    merged.filter((entry): entry is [string, string] => entry[1] !== undefined),
  );
}

/** Variables that native libraries read while they load. */
export interface NativeEnvironment {
  /** Set whatever the operator has set. */
  readonly forced: Readonly<Record<string, string>>;
  /** Set where the operator has not. */
  readonly defaults: Readonly<Record<string, string>>;
}

/** Sets them in this process; only the main thread's environment is the process's own. */
export function setNativeEnvironment({ forced, defaults }: NativeEnvironment): void {
  for (const [name, value] of Object.entries(defaults)) process.env[name] ??= value;
  Object.assign(process.env, forced);
}

/** The C++ compiler of the system, or the one that `CXX` names. */
export function compiler(): string {
  return process.env['CXX'] || 'c++';
}

/** Lets this process see one GPU only; before CUDA is loaded. */
export function showOnlyGpu(id: string): void {
  process.env['CUDA_VISIBLE_DEVICES'] = id;
}

/** GPUs that `CUDA_VISIBLE_DEVICES` leaves to this process; undefined: all. */
export function visibleDevices(): string[] | undefined {
  const given = process.env['CUDA_VISIBLE_DEVICES'];
  if (given === undefined) return undefined;
  return given
    .split(',')
    .map((id) => id.trim())
    .filter((id) => id !== '' && id !== '-1');
}

/** Where Lockstep may keep what it can make again (https://specifications.freedesktop.org/basedir). */
export function cacheFolder(): string {
  return join(process.env['XDG_CACHE_HOME'] || join(homedir(), '.cache'), 'lockstep');
}

/** Folders of `LD_LIBRARY_PATH`. */
export function libraryPath(): string[] {
  return (process.env['LD_LIBRARY_PATH'] ?? '').split(':').filter((folder) => folder !== '');
}

/**
 * Turns off the AWS SDK's notice on Node 20: the lockfile pins the SDK, so it asks for nothing. And
 * an empty region is none, so that the profile's is taken.
 */
export function prepareSdk(): void {
  if (process.env['AWS_REGION'] === '') delete process.env['AWS_REGION'];
  process.env['AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED'] ??= 'true';
}

function problemOf(name: string, given: Readonly<Record<string, string | undefined>>): Problem {
  const shape: Record<string, z.ZodType> = variables.shape;
  const allowed = innermost(shape[name])?.meta()?.['allowed'];
  return {
    key: name,
    given: maskSecrets(withoutLogin(given[name] ?? '')),
    allowed: typeof allowed === 'string' ? allowed : 'a shorter text',
  };
}

function innermost(schema: z.ZodType | undefined): z.ZodType | undefined {
  let inner = schema;
  while (inner instanceof z.ZodOptional || inner instanceof z.ZodDefault)
    inner = inner.unwrap() as z.ZodType;
  return inner;
}
