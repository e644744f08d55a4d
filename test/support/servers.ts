// Real servers for tests: finds nats-server and versitygw, starts them on free loopback ports with
// folders of their own, and stops them. Tests skip by name when a server, or an engine, is not
// installed. A bucket is on the best S3 server there is: the one LOCKSTEP_TEST_S3_ENDPOINT names,
// else a versitygw, else npm's s3rver, which ignores conditional puts.

import { CreateBucketCommand, S3Client } from '@aws-sdk/client-s3';
import { spawn, type ChildProcess } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { accessSync, constants, existsSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { connect, createServer, type AddressInfo, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { childEnvironment, readEnvironment } from '../../shared/environment.js';
import type { S3Options } from '../../shared/store/s3-requests.js';
import type { ObjectStore } from '../../shared/store/store.js';
import { addonPath, findPackage } from '../../worker/engine/tensorflow/addon.js';
import { hasKoffi } from '../../worker/engine/xla/native.js';
import { hasPlugin } from '../../worker/engine/xla/plugin.js';
import { until } from './until.js';

/** The programs, and the variables that name their paths. */
const programs = {
  'nats-server': 'LOCKSTEP_TEST_NATS_SERVER',
  versitygw: 'LOCKSTEP_TEST_VERSITYGW',
} as const;

export type ServerProgram = keyof typeof programs;

/** Path of a server program: by its variable, else on PATH; undefined when there is none. */
export function findServer(program: ServerProgram): string | undefined {
  const { natsServer, versitygw } = readEnvironment().test;
  const named = program === 'versitygw' ? versitygw : natsServer;
  if (!named) return findOnPath(program);
  return isProgram(named) ? named : undefined;
}

/** Path of a program on PATH; undefined when there is none. */
export function findOnPath(name: string): string | undefined {
  const folders = (childEnvironment({})['PATH'] ?? '').split(delimiter);
  return folders.map((folder) => join(folder, name)).find(isProgram);
}

/** Whether a file is there that can be run. */
export function isProgram(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

/** For `{ skip }` of a test: false when the program is there, else the reason. */
export function skipWithout(program: ServerProgram): false | string {
  if (findServer(program) !== undefined) return false;
  return `no ${program}: install it or set ${programs[program]}`;
}

/** A running server. */
export interface TestServer {
  readonly url: string;
  readonly port: number;
  /** Kills it as a crash would (SIGKILL) and waits until it is gone; its data stay. */
  kill(): Promise<void>;
  /** Freezes it (SIGSTOP): connections stay and nothing answers. */
  pause(): void;
  /** Lets a frozen one go on. */
  resume(): void;
  /** Starts it again on the same port and data. */
  start(): Promise<void>;
  /** Stops it and deletes its data. */
  close(): Promise<void>;
}

/** Has a server listen on a free port of loopback, and gives the port. */
export async function listen(server: Server): Promise<number> {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return (server.address() as AddressInfo).port;
}

/** A port nobody listens on at this moment. */
export async function freePort(): Promise<number> {
  const server = createServer();
  const port = await listen(server);
  await new Promise((resolve) => server.close(resolve));
  return port;
}

async function answers(port: number): Promise<boolean> {
  return new Promise<boolean>((resolve) => {
    const socket = connect(port, '127.0.0.1');
    const end = (isUp: boolean): void => {
      socket.destroy();
      resolve(isUp);
    };
    socket.once('connect', () => end(true)).once('error', () => end(false));
    socket.setTimeout(500, () => end(false));
  });
}

interface Launch {
  readonly program: ServerProgram;
  readonly scheme: string;
  readonly env?: Record<string, string>;
  args(port: number, folder: string): string[];
}

async function launch(spec: Launch): Promise<TestServer> {
  const path = findServer(spec.program);
  if (path === undefined) throw new Error(String(skipWithout(spec.program)));
  const folder = await mkdtemp(join(tmpdir(), `lockstep-${spec.program}-`));
  const port = await freePort();
  let child: ChildProcess | undefined;
  let output = '';
  const stopWithUs = (): void => void child?.kill('SIGKILL');
  process.once('exit', stopWithUs);
  const start = async (): Promise<void> => {
    const started = spawn(path, spec.args(port, folder), {
      env: childEnvironment(spec.env ?? {}),
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    child = started;
    for (const stream of [started.stdout, started.stderr])
      stream.on('data', (text: Buffer) => (output = (output + text.toString()).slice(-4000)));
    await until(async () => {
      if (started.exitCode !== null) throw new Error(`${spec.program} ended:\n${output}`);
      return answers(port);
    }, `${spec.program} listens on ${port}`);
  };
  const kill = async (): Promise<void> => {
    const running = child;
    child = undefined;
    if (running === undefined || running.exitCode !== null) return;
    const ended = new Promise((resolve) => running.once('exit', resolve));
    running.kill('SIGKILL');
    await ended;
  };
  const close = async (): Promise<void> => {
    await kill();
    process.off('exit', stopWithUs);
    await rm(folder, { recursive: true, force: true });
  };
  await start();
  const pause = (): void => void child?.kill('SIGSTOP');
  const resume = (): void => void child?.kill('SIGCONT');
  return { url: `${spec.scheme}://127.0.0.1:${port}`, port, pause, resume, kill, start, close };
}

/** Starts a nats-server with JetStream; `args` are added to its command line. */
export function startNatsServer(args: readonly string[] = []): Promise<TestServer> {
  return launch({
    program: 'nats-server',
    scheme: 'nats',
    args: (port, folder) => ['-a', '127.0.0.1', '-p', `${port}`, '-js', '-sd', folder, ...args],
  });
}

/** The credentials of a versitygw started here. */
export const s3TestKeys = { accessKeyId: 'lockstep-test', secretAccessKey: 'lockstep-test-secret' };

/** Starts a versitygw (S3) over a folder of its own. */
export function startVersitygw(): Promise<TestServer> {
  return launch({
    program: 'versitygw',
    scheme: 'http',
    env: {
      ROOT_ACCESS_KEY: s3TestKeys.accessKeyId,
      ROOT_SECRET_KEY: s3TestKeys.secretAccessKey,
    },
    args: (port, folder) => ['--port', `127.0.0.1:${port}`, 'posix', folder],
  });
}

/** A bucket of the test's own. */
export interface S3Place {
  /** For test names: "s3 at http://127.0.0.1:7070", "s3rver". */
  readonly name: string;
  readonly bucket: string;
  readonly options: S3Options & { readonly endpoint: string };
  /** Not s3rver, which ignores conditional puts, misreads some ranges and lists out of order. */
  readonly isComplete: boolean;
  close(): Promise<void>;
}

/** Finds or starts a server and makes a bucket there. */
export async function openS3Place(): Promise<S3Place> {
  const running = await startServer();
  const bucket = `lockstep-${randomBytes(6).toString('hex')}`;
  const { accessKeyId, secretAccessKey, endpoint } = running.options;
  const client = new S3Client({
    endpoint,
    region: 'us-east-1',
    forcePathStyle: true,
    ...(accessKeyId !== undefined && secretAccessKey !== undefined
      ? { credentials: { accessKeyId, secretAccessKey } }
      : {}),
  });
  await client.send(new CreateBucketCommand({ Bucket: bucket }));
  client.destroy();
  return { ...running, bucket };
}

async function startServer(): Promise<Omit<S3Place, 'bucket'>> {
  // Its credentials are found as an operator's are: by the SDK, in the environment.
  const endpoint = readEnvironment().test.s3Endpoint;
  if (endpoint !== undefined)
    return {
      name: `s3 at ${endpoint}`,
      // Named here, so that tests can take other keys in their place.
      options: {
        endpoint,
        accessKeyId: childEnvironment({})['AWS_ACCESS_KEY_ID'],
        secretAccessKey: childEnvironment({})['AWS_SECRET_ACCESS_KEY'],
      },
      isComplete: true,
      close: async () => undefined,
    };
  if (findServer('versitygw') === undefined) return startS3rver();
  const server = await startVersitygw();
  return {
    name: 's3 by versitygw',
    options: { endpoint: server.url, ...s3TestKeys },
    isComplete: true,
    close: server.close,
  };
}

interface S3rver {
  run(): Promise<{ port: number }>;
  close(): Promise<void>;
}

async function startS3rver(): Promise<Omit<S3Place, 'bucket'>> {
  const load = createRequire(import.meta.url);
  const Server = load('s3rver') as new (options: Record<string, unknown>) => S3rver;
  const directory = await mkdtemp(join(tmpdir(), 'lockstep-s3rver-'));
  const server = new Server({ port: 0, address: '127.0.0.1', silent: true, directory });
  const { port } = await server.run();
  return {
    name: 's3rver',
    options: {
      endpoint: `http://127.0.0.1:${port}`,
      accessKeyId: 'S3RVER',
      secretAccessKey: 'S3RVER',
    },
    isComplete: false,
    close: async () => {
      await server.close();
      await rm(directory, { recursive: true, force: true });
    },
  };
}

const found = findPackage();

/** For `{ skip }` of a test: false when the addon is built, else the reason. */
export const skipWithoutTensorflow: false | string =
  found !== undefined && existsSync(addonPath(found))
    ? false
    : 'TensorFlow is not set up: npm run setup:tensorflow';

/**
 * For `{ skip }` of a test: false when XLA's plugin for CPUs is there, or the one that the
 * environment names, else the reason.
 */
export const skipWithoutXla: false | string =
  (hasPlugin('cpu') || readEnvironment().xlaPlugin !== undefined) && hasKoffi()
    ? false
    : 'XLA is not set up: npm run setup:xla -- --cpu';

/** The keys in a store that start with `prefix`, in the store's order. */
export async function keysOf(store: ObjectStore, prefix = ''): Promise<string[]> {
  const keys: string[] = [];
  for await (const { key } of store.list(prefix)) keys.push(key);
  return keys;
}
