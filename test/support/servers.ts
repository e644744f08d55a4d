// Real servers for tests: finds nats-server and versitygw, starts them on free loopback ports with
// folders of their own, and stops them. Tests skip by name when a server is not installed.

import { spawn, type ChildProcess } from 'node:child_process';
import { accessSync, constants } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { childEnvironment, readEnvironment } from '../../shared/environment.js';
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
  const folders = (childEnvironment({})['PATH'] ?? '').split(delimiter);
  const candidates = named ? [named] : folders.map((folder) => join(folder, program));
  return candidates.find((path) => {
    try {
      accessSync(path, constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
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

/** A port nobody listens on at this moment. */
export async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  if (address === null || typeof address === 'string') throw new Error('no port');
  return address.port;
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
